"""Independent references that the program is compared with: written for obviousness, not for speed.

Nothing here uses the program's own code, TensorFlow or the `tokenizers` library.
"""

from __future__ import annotations

import math
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

# ---------------------------------------------------------------------------------------- BERT


def gelu_exact(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


# `gelu` is the exact form here. What a TF1 checkpoint calls `gelu` is `gelu_tanh`:
# whoever reads the checkpoint says so (see `models.weights_of`).
ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": gelu_exact,
    "gelu_tanh": gelu_tanh,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
    "tanh": np.tanh,
    "silu": silu,
    "swish": silu,
}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> np.ndarray:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


def bert(
    weights: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    ids: np.ndarray,
    mask: np.ndarray | None = None,
    segments: np.ndarray | None = None,
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """A BERT in float64: `ids`, `mask`, `segments` [..., T] -> (layers, pooled).

    `layers` holds L + 1 arrays [..., T, H], the embedding output first; `pooled` is [..., H], None
    for a model without pooler. `weights` has the names of a TF1 checkpoint. Of `config`, which has
    the keys of `bert_config.json`, these count: `num_hidden_layers`, `num_attention_heads`,
    `hidden_act` (a key of `ACTIVATIONS`), `layer_norm_eps` (1e-12 if absent) and `position_offset`
    (0 if absent; XLM-R starts at its padding id + 1, and leaves that id out). `mask` is 0 for
    tokens that nobody looks at.
    """
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    ids = np.asarray(ids)
    mask = np.ones_like(ids) if mask is None else np.asarray(mask)
    segments = np.zeros_like(ids) if segments is None else np.asarray(segments)
    eps = config.get("layer_norm_eps", 1e-12)
    activate = ACTIVATIONS[config["hidden_act"]]

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(x, name):
        return layer_norm(x, w[f"{name}/LayerNorm/gamma"], w[f"{name}/LayerNorm/beta"], eps)

    positions = np.broadcast_to(np.arange(ids.shape[-1]), ids.shape)
    if first := config.get("position_offset", 0):
        counted = ids != first - 1
        positions = np.where(counted, counted.cumsum(axis=-1), 0) + first - 1
    x = (
        w["bert/embeddings/word_embeddings"][ids]
        + w["bert/embeddings/token_type_embeddings"][segments]
        + w["bert/embeddings/position_embeddings"][positions]
    )  # [..., T, H]
    layers = [norm(x, "bert/embeddings")]
    for n in range(config["num_hidden_layers"]):
        x, name = layers[-1], f"bert/encoder/layer_{n}"
        heads = config["num_attention_heads"]
        query, key, value = (
            _split_heads(dense(x, f"{name}/attention/self/{part}"), heads)
            for part in ("query", "key", "value")
        )  # each [..., heads, T, H / heads]
        scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1])  # [..., heads, T, T]
        scores = np.where(mask[..., None, None, :] > 0, scores, -1e9)
        context = _join_heads(softmax(scores) @ value)  # [..., T, H]
        attended = dense(context, f"{name}/attention/output/dense") + x
        attended = norm(attended, f"{name}/attention/output")
        inner = activate(dense(attended, f"{name}/intermediate/dense"))  # [..., T, I]
        layers.append(norm(dense(inner, f"{name}/output/dense") + attended, f"{name}/output"))
    if "bert/pooler/dense/kernel" not in w:
        return layers, None
    return layers, np.tanh(dense(layers[-1][..., 0, :], "bert/pooler/dense"))


def _split_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """[..., T, H] -> [..., heads, T, H / heads]"""
    return np.swapaxes(x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads), -2, -3)


def _join_heads(x: np.ndarray) -> np.ndarray:
    """[..., heads, T, H / heads] -> [..., T, H]"""
    x = np.swapaxes(x, -2, -3)
    return x.reshape(*x.shape[:-2], -1)


# ---------------------------------------------------------------------------------- tokenizers

CJK_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def _is_control(char: str) -> bool:
    return char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf")


def _is_whitespace(char: str) -> bool:
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def _is_punctuation(char: str) -> bool:
    """Unicode's punctuation, and the ASCII symbols such as `$`, which Unicode files elsewhere."""
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def _is_cjk(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in CJK_RANGES)


class GoogleWordPiece:
    """The tokenizer of google-research/bert, with the Unicode tables of this Python.

    Source: google-research/bert `tokenization.py`, `FullTokenizer`.
    """

    def __init__(
        self, vocab_lines: Iterable[str], do_lower_case: bool = True, max_word_length: int = 200
    ):
        # A piece that stands twice has the number of its last line.
        self.vocab = {line.strip(): number for number, line in enumerate(vocab_lines)}
        self.do_lower_case = do_lower_case
        self.max_word_length = max_word_length

    def tokenize(self, text: str) -> list[str]:
        return [piece for word in self.words(text) for piece in self.pieces(word)]

    def ids(self, tokens: Iterable[str]) -> list[int]:
        return [self.vocab[token] for token in tokens]

    def words(self, text: str) -> list[str]:
        """What the original's `BasicTokenizer` makes of `text`."""
        cleaned = "".join(
            " " if _is_whitespace(char) else char
            for char in text
            if char not in "\0\ufffd" and not _is_control(char)
        )
        spaced = "".join(f" {char} " if _is_cjk(char) else char for char in cleaned)
        words = []
        for word in spaced.split():
            if self.do_lower_case:
                decomposed = unicodedata.normalize("NFD", word.lower())
                word = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
            words.append("".join(f" {char} " if _is_punctuation(char) else char for char in word))
        return " ".join(words).split()

    def pieces(self, word: str) -> list[str]:
        """The longest piece from the left, again and again; a word with a rest is unknown."""
        if len(word) > self.max_word_length:
            return ["[UNK]"]
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.vocab), None)
            if end is None:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


class BertJapanese:
    """The tokenizer of bert-japanese.

    Source: yoheikikuta/bert-japanese `src/tokenization_sentencepiece.py`, `FullTokenizer`.
    """

    def __init__(self, model_file: str | Path, vocab_file: str | Path, do_lower_case: bool = True):
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
        with open(vocab_file, encoding="utf-8", newline="\n") as lines:
            self.vocab = {line.split("\t")[0].strip(): n for n, line in enumerate(lines)}
        self.do_lower_case = do_lower_case

    def tokenize(self, text: str) -> list[str]:
        return self.processor.EncodeAsPieces(text.lower() if self.do_lower_case else text)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        return [self.vocab.get(token, 0) for token in tokens]


def truncate_pair(a: list[str], b: list[str], room: int) -> tuple[list[str], list[str]]:
    """Drop tokens one at a time from the end of the longer text, of `b` when both are as long.

    Source: google-research/bert `extract_features.py`, `_truncate_seq_pair`.
    """
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


def assemble(a: list[str], b: list[str] | None, max_seq_length: int) -> tuple[list[str], list[int]]:
    """`[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, at most `max_seq_length` tokens; their segments.

    Source: google-research/bert `extract_features.py`, `convert_examples_to_features`.
    """
    if b is None:
        tokens = ["[CLS]", *a[: max_seq_length - 2], "[SEP]"]
        return tokens, [0] * len(tokens)
    a, b = truncate_pair(a, b, max_seq_length - 3)
    return ["[CLS]", *a, "[SEP]", *b, "[SEP]"], [0] * (len(a) + 2) + [1] * (len(b) + 1)
