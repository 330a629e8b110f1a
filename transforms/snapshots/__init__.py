"""An output folder: its files, its snapshots, who works on them, what earlier snapshots have.

Start with `layouts.py` and `commits.py`. Knows nothing of models.
"""
