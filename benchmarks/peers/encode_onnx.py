"""`encode_onnx.py MODEL WINDOWS FOLDER`: ONNX Runtime, a thread for each core, its own fusions for
BERT applied first; `FOLDER` takes the exported model.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from padding import read_batches
from serving import serve
from transformers import AutoModel


def export(model_folder: str, folder: Path) -> str:
    """The model as one ONNX file, its layers fused -> its path."""
    model = AutoModel.from_pretrained(model_folder, attn_implementation="eager").eval()
    ids = torch.ones((2, 16), dtype=torch.int64)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    torch.onnx.export(
        model,
        (ids, ids),
        str(folder / "exported.onnx"),
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        dynamo=True,
    )
    config = model.config
    fused = optimize_model(
        str(folder / "exported.onnx"),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        optimization_options=FusionOptions("bert"),
    )
    print(fused.get_fused_operator_statistics(), file=sys.stderr)
    fused.save_model_to_file(str(folder / "fused.onnx"), use_external_data_format=True)
    return str(folder / "fused.onnx")


def main(model_folder: str, windows: str, folder: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        export(model_folder, Path(folder)), options, providers=["CPUExecutionProvider"]
    )
    batches, tokens = read_batches(windows)

    def encode() -> float:
        for ids, mask in batches:
            session.run(["last_hidden_state"], {"input_ids": ids, "attention_mask": mask})
        return tokens

    serve(encode)


main(*sys.argv[1:])
