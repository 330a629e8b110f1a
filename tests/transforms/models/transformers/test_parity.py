"""The program repeats what the original programs wrote down, token by token and value by value."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from corpusvec.transforms.columns import Documents, Encoded
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import describe_model, load_encoder
from corpusvec.transforms.specs import VectorColumn, VectorPlan, Wanted
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from corpusvec.transforms.vectors.documents import DocumentVectors
from tests.elements import together
from tests.models import TEXTS, checkpoint_folder, hugging_face_folder
from tests.repository.test_oracles import GOLDEN, ROOT, golden_rows, lines_of, pair_of

MINILM = Path(os.environ.get("CORPUSVEC_MINILM", ROOT / "models" / "all-MiniLM-L6-v2"))
needs_minilm = pytest.mark.skipif(
    not (MINILM / "model.safetensors").is_file(), reason="all-MiniLM-L6-v2 is not here"
)

BATCH = 16


def windows_of(spec, lines, max_seq_length):
    """Each line's window by its number, truncated as the originals do; none for an empty one."""
    documents = Documents.of([Document(str(n), a, b) for n, (a, b) in enumerate(lines)])
    plan = WindowPlan(max_seq_length, "truncate")
    found = cut(documents, load_tokenizer(spec.tokenizer), plan)
    assert not found.refused
    assert all(not lines[row][0].strip() for row in found.empty)
    return dict(zip(found.windows.owners.tolist(), found.windows))


def encoded_of(spec, windows, wanted):
    encoder = load_encoder(spec, wanted)
    numbers = sorted(windows, key=lambda number: len(windows[number]))
    results = {}
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start : start + BATCH]
        results |= zip(batch, encoder.encode(together([windows[number] for number in batch])))
    return results


def all_layers(spec, precision="float32"):
    return Wanted(tuple(range(spec.layer_count + 1)), spec.outputs, precision)


def sentence_vectors(encoded, columns):
    """Columns -> vectors [N, D], in the order of the numbers."""
    vectors = DocumentVectors(VectorPlan(columns))
    rows = [vectors.finish(vectors.parts(batch_of(encoded[n]))) for n in sorted(encoded)]
    found = [row.sentences.vectors for row in rows]
    return {one.name: np.concatenate([row[one.name] for row in found]) for one in columns}


def batch_of(one):
    """A window of those that were encoded, as a batch of its own."""
    layers, outputs = ({key: v[None] for key, v in part.items()} for part in one[1:3])
    return Encoded(together([one.window]), layers, outputs)


@functools.cache
def golden_windows(folder, max_seq_length):
    spec = describe_model(str(GOLDEN / folder))
    lines = [pair_of(line) for line in lines_of(GOLDEN / folder / "input.txt")]
    return spec, windows_of(spec, lines, max_seq_length)


@pytest.mark.parametrize(
    ("folder", "max_seq_length"),
    [("bert_japanese", 128), ("bert_japanese", 32), ("bert_wordpiece", 48)],
    ids=["bert-japanese, 128", "bert-japanese, 32", "google-research, 48"],
)
def test_original_programs(folder, max_seq_length):
    """Every line but the blank ones: the same tokens, every value within 2e-5."""
    spec, windows = golden_windows(folder, max_seq_length)
    rows = golden_rows(GOLDEN / folder / f"expected_len{max_seq_length}.npz")
    encoded = encoded_of(spec, windows, all_layers(spec))
    blank = {number for number, (tokens, _, _) in enumerate(rows) if tokens == ["[CLS]", "[SEP]"]}
    assert set(windows) == set(range(len(rows))) - blank
    for number, result in encoded.items():
        tokens, layers, values = rows[number]
        assert list(result.window.tokens) == tokens
        for column, layer in enumerate(layers):
            computed = result.layers[layer % (spec.layer_count + 1)]
            np.testing.assert_allclose(computed, values[:, column], rtol=0, atol=2e-5)


@functools.cache
def minilm_golden():
    with np.load(GOLDEN / "minilm.npz") as golden:
        texts, vectors = golden["texts"].tolist(), golden["sentence_vectors"]
    spec = describe_model(str(MINILM))
    return spec, windows_of(spec, [(text, None) for text in texts], spec.max_seq_length), vectors


@needs_minilm
def test_sentence_transformers_on_minilm():
    """Tokens equal, layer values within 1e-4; the model's own column within 1e-5."""
    spec, windows, expected = minilm_golden()
    rows = golden_rows(GOLDEN / "minilm.npz")
    assert spec.max_seq_length == 256
    assert len(windows) == len(expected)
    encoded = encoded_of(spec, windows, all_layers(spec))
    for number, (tokens, layers, values) in enumerate(rows):
        assert list(windows[number].tokens) == tokens
        for column, layer in enumerate(layers):
            computed = encoded[number].layers[layer % (spec.layer_count + 1)]
            np.testing.assert_allclose(computed, values[:, column], rtol=0, atol=1e-4)
    vectors = sentence_vectors(encoded, spec.default_columns)["vector"]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------- bfloat16


def columns_of(spec):
    """A sentence vector of every kind from the upper layers, and the pooled output."""
    last = spec.layer_count
    columns = [
        VectorColumn(f"{pooling}@{layer}", pooling, (layer,))
        for pooling in ("mean", "max", "cls", "sep", "first", "mean_sqrt")
        for layer in (last, last - 1)
    ]
    columns.append(VectorColumn("all", "mean", tuple(range(1, last + 1))))
    if spec.has_pooler:
        columns.append(VectorColumn("pooler", "output", output="pooler"))
    return (*columns, *spec.default_columns)


def least_cosines(spec, windows):
    """Column -> the least cosine between a sentence vector in bfloat16 and in float32."""
    columns = columns_of(spec)
    exact, rounded = (
        sentence_vectors(encoded_of(spec, windows, all_layers(spec, precision)), columns)
        for precision in ("float32", "bfloat16")
    )
    return {
        name: ((x * rounded[name]).sum(axis=1) / _norms(x) / _norms(rounded[name])).min()
        for name, x in exact.items()
    }


def _norms(vectors):
    return np.linalg.norm(vectors, axis=1)


def assert_close_in_bfloat16(spec, windows):
    cosines = least_cosines(spec, windows)
    assert min(cosines.values()) > 0.999, cosines


@pytest.mark.parametrize(
    ("folder", "max_seq_length"),
    [("bert_japanese", 128), ("bert_wordpiece", 48)],
    ids=["bert-japanese", "google-research"],
)
def test_bfloat16_on_golden_models(folder, max_seq_length):
    assert_close_in_bfloat16(*golden_windows(folder, max_seq_length))


@needs_minilm
def test_bfloat16_on_minilm():
    spec, windows, _ = minilm_golden()
    assert_close_in_bfloat16(spec, windows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (checkpoint_folder, {"hidden": 32, "layers": 3, "heads": 4}),
        (hugging_face_folder, {"hidden": 64, "layers": 6, "heads": 4}),
        (
            hugging_face_folder,
            {"hidden": 48, "layers": 2, "hidden_act": "relu", "modules": ("pooling", "normalize")},
        ),
    ],
    ids=["checkpoint", "deep", "relu"],
)
def test_bfloat16_on_random_models(make, options, seed, tmp_path):
    spec = describe_model(str(make(tmp_path / "model", seed=seed, **options)))
    windows = windows_of(spec, [(text, None) for text in TEXTS], spec.max_seq_length)
    assert_close_in_bfloat16(spec, windows)
