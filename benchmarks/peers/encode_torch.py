"""`encode_torch.py MODEL WINDOWS PRECISION`: PyTorch and transformers, a thread for each core."""

from __future__ import annotations

import os
import sys

import torch
from padding import read_batches
from serving import serve
from transformers import AutoModel


def main(model_folder: str, windows: str, precision: str) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kind = getattr(torch, precision)
    try:
        model = AutoModel.from_pretrained(model_folder, attn_implementation="sdpa", dtype=kind)
    except ValueError:  # of those that have no such attention
        model = AutoModel.from_pretrained(model_folder, dtype=kind)
    model.eval()
    batches, tokens = read_batches(windows)
    batches = [tuple(map(torch.from_numpy, batch)) for batch in batches]

    def encode() -> float:
        with torch.inference_mode():
            for ids, mask in batches:
                model(input_ids=ids, attention_mask=mask).last_hidden_state.float().numpy()
        return tokens

    serve(encode)


main(*sys.argv[1:])
