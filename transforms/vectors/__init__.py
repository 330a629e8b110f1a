"""Layers of tokens to sentence vectors: columns, poolings, and dense layers after them.

Start with `poolings.py`, the table of poolings.
"""
