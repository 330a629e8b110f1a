"""Static embeddings: a vector for each token, looked up without TensorFlow.

Start with `tables.py`.
"""
