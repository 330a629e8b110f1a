"""From a snapshot to links: related documents and why, search, and how well both find.

Start with `corpora.py`, which opens a snapshot. The algorithms are in `transforms/links/`.
"""
