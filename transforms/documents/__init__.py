"""Bytes to documents: what `--input` names, opened, decompressed, and read by format.

Start with `formats.py`, the table of formats. Knows nothing of models, tokens or outputs.
"""
