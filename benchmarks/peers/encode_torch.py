"""`encode_torch.py MODEL WINDOWS PRECISION [DEVICE]`: PyTorch and transformers, a thread for each
core; or on a card, with large batches, of which the mean of each window's tokens leaves it.
"""

from __future__ import annotations

import os
import sys

import torch
from padding import read_batches
from serving import serve
from transformers import AutoModel

_LARGE = 1024  # windows at once on a card


def main(model_folder: str, windows: str, precision: str, device: str = "cpu") -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kind = getattr(torch, precision)
    try:
        model = AutoModel.from_pretrained(model_folder, attn_implementation="sdpa", dtype=kind)
    except ValueError:  # of those that have no such attention
        model = AutoModel.from_pretrained(model_folder, dtype=kind)
    model.eval().to(device)
    batches, tokens = read_batches(windows, *([] if device == "cpu" else [_LARGE]))
    batches = [tuple(map(torch.from_numpy, batch)) for batch in batches]

    def encode() -> float:
        with torch.inference_mode():
            for ids, mask in batches:
                ids, mask = ids.to(device), mask.to(device)
                found = model(input_ids=ids, attention_mask=mask).last_hidden_state
                if device != "cpu":
                    counts = mask[:, :, None].float()
                    found = (found.float() * counts).sum(dim=1) / counts.sum(dim=1)
                found.float().cpu().numpy()
        return tokens

    serve(encode)


main(*sys.argv[1:])
