"""Loading a model takes little more memory than its weights: no second copy is ever held."""

import json
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from corpusvec.transforms.models.hardware import has_amx
from corpusvec.transforms.models.transformers import configurations, weights
from corpusvec.transforms.models.transformers.families.table import FAMILIES
from corpusvec.transforms.storage.json_files import read_json
from tests.models import hugging_face_folder
from tests.packages import ROOT
from tests.transforms.models.transformers.test_encoders import save_shards

SIZES = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 20,
    "vocab_size": 24_000,
}
# What this process held before, a small model of the same kind loaded, is not counted.
MEASURE = """
import re, resource, sys
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.specs import Wanted
small, large, precision = sys.argv[1:]
def load(folder):
    spec = describe_model(folder)
    return spec, load_encoder(spec, Wanted((spec.layer_count,), (), precision))
kept = load(small)
before = int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
spec, encoder = load(large)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print((peak - before) * 1024 / (spec.parameters * (2 if precision == "bfloat16" else 4)))
"""


def made_up(folder: Path, dtype, shards: int) -> Path:
    """A BERT of 160 million random numbers."""
    hugging_face_folder(folder, with_pooler=False)
    file = folder / "config.json"
    values = read_json(file) | SIZES
    file.write_text(json.dumps(values))
    config, _ = configurations.read(values, file)
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in weights.shapes(config, pooler=False).items():
        key = FAMILIES["bert"].sources(name)[0].keys[0]
        shape = shape[::-1] if name.endswith("/kernel") else shape
        tensors[key] = random.standard_normal(shape, np.float32).astype(dtype)
    save_file(tensors, folder / "model.safetensors")
    save_shards(folder, tensors, shards)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["F32", "BF16"])
def test_loading_takes_little_more_than_the_weights(dtype, shards, precision, tmp_path, tiny):
    if precision == "bfloat16" and has_amx():
        pytest.skip("with AMX the weights are in the graph, of which TensorFlow holds more")
    large = made_up(tmp_path / "large", dtype, shards)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, tiny, str(large), precision],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    assert 0.9 < float(run.stdout.split()[-1]) <= 1.3
