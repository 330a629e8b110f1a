"""The references themselves agree with what the original programs wrote down."""

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.models import bert_weights, weights_of
from tests.oracles import BertJapanese, GoogleWordPiece, assemble, bert, truncate_pair

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"  # what the original programs made
MINILM = Path(os.environ.get("CORPUSVEC_MINILM", ROOT / "models" / "all-MiniLM-L6-v2"))

needs_minilm = pytest.mark.skipif(
    not (MINILM / "model.safetensors").is_file(), reason="all-MiniLM-L6-v2 is not here"
)


def golden_rows(path: Path):
    """The rows of a golden file: tokens, and values [T, layers, H]."""
    with np.load(path) as golden:
        tokens, values, offsets = golden["tokens"], golden["values"], golden["row_offsets"]
        layers = golden["layers"].tolist()
    return [
        (tokens[start:stop].tolist(), layers, values[start:stop])
        for start, stop in itertools.pairwise(offsets)
    ]


def assert_made_again(
    module: str,
    file: Path,
    expected: Mapping[str, np.ndarray],
    tolerance: Callable[[str], float] = lambda name: 2e-6,
) -> None:
    """The vectors of a golden file are those that the original makes now."""
    made = made_again(module, file)
    assert set(made) == set(expected)
    for name, vectors in made.items():
        np.testing.assert_allclose(
            vectors, expected[name], rtol=0, atol=tolerance(name), err_msg=name
        )


def made_again(module: str, file: Path) -> dict[str, np.ndarray]:
    """What the original makes now, by `main` of a module of the tests. Skips the test where
    CORPUSVEC_SENTENCE_TRANSFORMERS names no Python that has it.
    """
    python = os.environ.get("CORPUSVEC_SENTENCE_TRANSFORMERS")
    if not python:
        pytest.skip("CORPUSVEC_SENTENCE_TRANSFORMERS names no Python with sentence-transformers")
    subprocess.run([python, "-m", module, str(file)], check=True, cwd=ROOT)
    with np.load(file) as made:
        return dict(made)


def pair_of(line: str) -> tuple[str, str | None]:
    match = re.match(r"^(.*) \|\|\| (.*)$", line)
    return (match[1], match[2]) if match else (line, None)


def lines_of(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").removesuffix("\n").split("\n")]


def word_piece(folder: Path) -> GoogleWordPiece:
    return GoogleWordPiece((folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n"))


def bert_japanese(folder: Path) -> BertJapanese:
    return BertJapanese(folder / "wiki-ja.model", folder / "wiki-ja.vocab")


@pytest.mark.parametrize(
    ("folder", "tokenizer", "max_seq_length"),
    [
        ("bert_japanese", bert_japanese, 128),
        ("bert_japanese", bert_japanese, 32),
        ("bert_wordpiece", word_piece, 48),
    ],
    ids=["bert-japanese, 128", "bert-japanese, 32", "google-research, 48"],
)
def test_references_repeat_the_original_programs(folder, tokenizer, max_seq_length):
    """Every line of the golden input: the same tokens, every value within 2e-5."""
    tokenizer = tokenizer(GOLDEN / folder)
    weights, config = weights_of(GOLDEN / folder)
    lines = lines_of(GOLDEN / folder / "input.txt")
    rows = golden_rows(GOLDEN / folder / f"expected_len{max_seq_length}.npz")
    assert len(lines) == len(rows)
    for line, (expected_tokens, layers, expected) in zip(lines, rows, strict=True):
        a, b = pair_of(line)
        tokens, segments = assemble(
            tokenizer.tokenize(a), None if b is None else tokenizer.tokenize(b), max_seq_length
        )
        assert tokens == expected_tokens
        computed, _ = bert(weights, config, tokenizer.ids(tokens), segments=segments)
        for column, layer in enumerate(layers):
            np.testing.assert_allclose(computed[layer], expected[:, column], rtol=0, atol=2e-5)


@needs_minilm
def test_references_repeat_sentence_transformers_on_minilm():
    """Tokens equal, layers within 1e-4, sentence vectors (mean, L2-normalized) within 1e-5."""
    tokenizer = word_piece(MINILM)
    weights, config = weights_of(MINILM)
    with np.load(GOLDEN / "minilm.npz") as golden:
        texts, vectors = golden["texts"].tolist(), golden["sentence_vectors"]
    rows = golden_rows(GOLDEN / "minilm.npz")
    for n, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        tokens, segments = assemble(tokenizer.tokenize(text), None, 256)
        computed, _ = bert(weights, config, tokenizer.ids(tokens), segments=segments)
        mean = computed[-1].mean(axis=0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), vector, rtol=0, atol=1e-5)
        if n < len(rows):
            expected_tokens, layers, expected = rows[n]
            assert tokens == expected_tokens
            for column, layer in enumerate(layers):
                np.testing.assert_allclose(computed[layer], expected[:, column], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "room", "kept"),
    [
        ("abc", "de", 5, ("abc", "de")),
        ("abcdef", "gh", 5, ("abc", "gh")),
        ("abc", "def", 5, ("abc", "de")),
        ("ab", "cdefgh", 3, ("ab", "c")),
        ("ab", "cd", 0, ("", "")),
    ],
    ids=["fits", "first is longer", "as long: the second", "second is longer", "no room"],
)
def test_truncation_of_pairs(a, b, room, kept):
    assert truncate_pair(list(a), list(b), room) == (list(kept[0]), list(kept[1]))


def test_padding_changes_nothing_for_the_text():
    """A masked tail and a second text beside it leave a text's values as they are."""
    weights = bert_weights(vocab_size=6, hidden=8, layers=2, positions=5)
    config = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": "gelu"}
    alone, pooled_alone = bert(weights, config, [1, 2, 3])
    ids = np.array([[1, 2, 3, 0, 0], [4, 3, 2, 1, 5]])
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    beside, pooled_beside = bert(weights, config, ids, mask)
    for a, b in zip(alone, beside, strict=True):
        np.testing.assert_allclose(b[0, :3], a, atol=1e-12)
    np.testing.assert_allclose(pooled_beside[0], pooled_alone, atol=1e-12)
