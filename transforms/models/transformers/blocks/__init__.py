"""The blocks that models are made of, in TensorFlow: each computes one part of
`transforms/architectures.py`, with arrays by the names of `weights.shapes`.

Rows are the tokens of a batch, one after the other: [B*T, H]. Start with `arrays.py`.
"""
