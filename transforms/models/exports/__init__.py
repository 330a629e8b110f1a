"""SavedModels made of a BERT, with strings in if wanted, and of tables of word vectors.

Start with `berts.py`.
"""
