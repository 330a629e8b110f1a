"""`export_openvino.py MODEL FOLDER`: MODEL for OpenVINO, its weights in eight bits, into FOLDER."""

from __future__ import annotations

import sys

from optimum.intel import OVWeightQuantizationConfig
from sentence_transformers import SentenceTransformer

model, folder = sys.argv[1:]
rounded = {"quantization_config": OVWeightQuantizationConfig(bits=8), "export": True}
SentenceTransformer(model, backend="openvino", model_kwargs=rounded).save_pretrained(folder)
