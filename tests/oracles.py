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


# ---------------------------------------------------------------------- transformers of any blocks


def rms_norm(x: np.ndarray, gamma: np.ndarray, eps: float) -> np.ndarray:
    return gamma * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)


def turned(
    x: np.ndarray,
    frequencies: Iterable[float],
    factor: float,
    long: Iterable[float] = (),
    usual_length: int = 0,
    ends: bool = False,
) -> np.ndarray:
    """[T, D]: number n and number n + D/2 of a head are one complex number, and turn by the
    position times a frequency; of texts of more tokens than usual by the `long` ones. `ends` only
    says how long texts may be.
    """
    half = x.shape[-1] // 2
    frequencies = (len(x) > usual_length and tuple(long)) or frequencies
    angles = np.arange(len(x))[:, None] * np.array(list(frequencies))
    numbers = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angles) * factor
    return np.concatenate([numbers.real, numbers.imag], axis=-1)


def bucket(ahead: int, count: int, furthest: int) -> int:
    """The bucket of a key that is so far ahead of the query, as T5's paper has it."""
    side = count // 2
    distance, exact = abs(ahead), side // 2
    if distance >= exact:
        grown = np.log(np.float32(distance / exact)) / np.float32(math.log(furthest / exact))
        distance = min(exact + int(grown * np.float32(side - exact)), side - 1)
    return distance + (side if ahead > 0 else 0)


def log_bucket(distance: int, count: int, furthest: int) -> int:
    """The bucket of a distance, as DeBERTa has it; the sign stays."""
    middle = count // 2
    if abs(distance) <= middle:
        return distance
    grown = np.log(np.float32(abs(distance) / middle)) / np.log(np.float32((furthest - 1) / middle))
    return int(np.sign(distance)) * (math.ceil(grown * np.float32(middle - 1)) + middle)


_HALVES = (("attention/input", "attention/output"), ("intermediate/input", "output"))


def transformer(
    weights: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    ids: np.ndarray,
    segments: np.ndarray,
) -> list[np.ndarray]:
    """Any model of `transforms/architectures.py` in float64, one text alone: `ids` and `segments`
    [T] -> its layers, each [T, H]. `config` is a `Transformer` as a mapping.
    """
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)

    def norm(x, name, of=None):
        of = of or config["norm"]
        gamma, beta = w[f"{name}/LayerNorm/gamma"], w.get(f"{name}/LayerNorm/beta", 0)
        if of["rms"]:
            return rms_norm(x, gamma, of["epsilon"])
        return layer_norm(x, gamma, beta, of["epsilon"])

    layers = [_embedded(w, config["embeddings"], dense, norm, ids, segments)]
    for number, reach in enumerate(config["reaches"]):
        x = layers[-1]
        source = config["weights_of"][number] if config["weights_of"] else number
        name, how = f"encoder/layer_{source}", config["norms"]
        for before, after in _HALVES:
            first = number == 0 and before == "attention/input" and not config["first_norm"]
            inner = x if how == "after" or first else norm(x, f"{name}/{before}")
            if after == "output":
                made = _fed_forward(config["feed_forward"], dense, name, inner)
            else:
                made = _attended(w, config["attention"], reach, dense, norm, name, inner)
            made = norm(made, f"{name}/{after}") if how == "around" else made
            x = norm(x + made, f"{name}/{after}") if how == "after" else x + made
        if config["convolution"] and number == 0:
            x = norm(x + _convolved(w, config["convolution"], layers[0]), "encoder/convolution")
        layers.append(x)
    if config["final_norm"]:
        layers[-1] = norm(layers[-1], "encoder/final")
    return layers


def _embedded(w, config, dense, norm, ids, segments) -> np.ndarray:
    x = w["embeddings/word_embeddings"][ids] * config["scale"]
    if config["segment_types"]:
        x = x + w["embeddings/token_type_embeddings"][segments]
    if config["positions"]:
        place, places = 0, []
        for number in ids:
            counted = not config["first_position"] or number != config["first_position"] - 1
            place += counted
            places.append(config["first_position"] - 1 + place * counted)
        if not config["first_position"]:
            places = range(len(ids))
        x = x + w["embeddings/position_embeddings"][np.array(places)]
    if config["projection"] == "before":
        x = dense(x, "embeddings/projection")
    x = norm(x, "embeddings", config["norm"]) if config["norm"] else x
    return dense(x, "embeddings/projection") if config["projection"] == "after" else x


def _fed_forward(config, dense, name, x) -> np.ndarray:
    activate, inner = ACTIVATIONS[config["activation"]], dense(x, f"{name}/intermediate/dense")
    if config["gated"]:
        inner = activate(dense(x, f"{name}/intermediate/gate")) * inner
    else:
        inner = activate(inner)
    return dense(inner, f"{name}/output/dense")


def _attended(w, config, reach, dense, norm, name, x) -> np.ndarray:
    """Head by head, query by query."""
    own, size = f"{name}/attention/self", config["head_size"]
    parts = {part: dense(x, f"{own}/{part}") for part in ("query", "key", "value")}
    contexts = []
    for head in range(config["heads"]):
        group = head // (config["heads"] // config["groups"])
        query, key, value = (
            parts[part][:, size * n : size * (n + 1)]
            for part, n in (("query", head), ("key", group), ("value", group))
        )
        if config["head_norm"]:
            query = norm(query, f"{own}/query", config["head_norm"])
            key = norm(key, f"{own}/key", config["head_norm"])
        if reach["rotary"]:
            query, key = (turned(part, **reach["rotary"]) for part in (query, key))
        scores = np.full((len(x), len(x)), -np.inf)
        for i in range(len(x)):
            for j in range(len(x)):
                if reach["back"] is not None and i - j > reach["back"]:
                    continue
                if reach["ahead"] is not None and j - i > reach["ahead"]:
                    continue
                scores[i, j] = query[i] @ key[j] * config["scale"]
                if buckets := config["buckets"]:
                    row = bucket(j - i, buckets["count"], buckets["furthest"])
                    scores[i, j] += w["encoder/relative_attention_bias"][row, head]
                if places := config["disentangled"]:
                    tables = _tables(w, places, dense, norm, own, i - j)
                    columns = slice(size * head, size * (head + 1))
                    for table, content in zip(tables, (query[i], key[j])):
                        scores[i, j] += table[columns] @ content * config["scale"]
        contexts.append(softmax(scores) @ value)
    return dense(np.concatenate(contexts, axis=-1), f"{name}/attention/output/dense")


def _tables(w, places, dense, norm, own, distance) -> Iterable[np.ndarray]:
    """The key of a distance, which queries look at, and its query, which keys look at."""
    if places["buckets"]:
        distance = log_bucket(distance, places["buckets"], places["furthest"])
    row = min(max(distance + places["span"], 0), 2 * places["span"] - 1)
    table = w["encoder/rel_embeddings"][row]
    if places["norm"]:
        table = norm(table, "encoder/rel_embeddings", places["norm"])
    before = "" if places["shared"] else "position_"
    for there, part in ((places["to_position"], "key"), (places["from_position"], "query")):
        yield dense(table, f"{own}/{before}{part}") if there else np.zeros_like(table)


def _convolved(w, config, x) -> np.ndarray:
    kernel, bias = w["encoder/convolution/kernel"], w["encoder/convolution/bias"]
    side, inputs, outputs = len(kernel) // 2, kernel.shape[1], kernel.shape[2]
    padded = np.pad(x, [(side, side), (0, 0)])
    found = np.tile(bias, (len(x), 1))
    for out in range(outputs):
        first = out // (outputs // config["groups"]) * inputs
        for place in range(len(x)):
            window = padded[place : place + len(kernel), first : first + inputs]
            found[place, out] += (window * kernel[:, :, out]).sum()
    return ACTIVATIONS[config["activation"]](found)


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
