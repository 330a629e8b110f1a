"""Models: found, described from their small files, fetched, loaded, run. TensorFlow is here alone,
and it is imported when a model is loaded.

Start with `kinds.py`, the table of kinds.
"""
