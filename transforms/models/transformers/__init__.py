"""BERT from TensorFlow 1 checkpoints and Hugging Face folders, in one forward pass.

Start with `forward.py`. What a folder's files say is read without TensorFlow.
"""
