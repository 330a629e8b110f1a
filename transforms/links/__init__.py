"""From vectors and texts to links: which documents lie near each other, and why.

Start with `neighbours.py`. Nothing here imports Beam or TensorFlow, or reads an output.
"""
