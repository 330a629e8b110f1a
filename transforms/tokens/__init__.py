"""Texts to windows: tokenizers, characters of tokens, and long texts cut.

Start with `tokenizers.py`, the table of tokenizers, and `windows.py`.
"""
