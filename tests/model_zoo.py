"""Every kind of tiny SavedModel and TF1 Hub module, made once, and what each gives for a text."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from corpusvec.transforms.columns import Documents, Windows
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import Encoder, describe_model, load_encoder
from corpusvec.transforms.specs import Asked, Layer, ModelSpec, Wanted
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from tests.hub_modules import (
    bert_module,
    elmo,
    elmo_reference,
    nnlm,
    nnlm_reference,
    tf1_saved_bert,
    use,
    use_lite,
    use_lite_reference,
    use_reference,
    word2vec_lookup,
)
from tests.oracles import GoogleWordPiece, assemble, bert
from tests.saved_models import (
    bert_parts,
    bert_saved_model,
    keras_bert_saved_model,
    strings_reference,
    strings_saved_model,
    tf1_style_bert,
    token_lookup,
    tokens_reference,
    unknown_reference,
    unknown_signature,
)

ELMO_LAYERS: Mapping[Layer, str] = {
    0: "word_emb",
    1: "lstm_outputs1",
    2: "lstm_outputs2",
    "elmo": "elmo",
}


@dataclass(frozen=True)
class Expected:
    """A text's tokens (None where nobody knows them), layers [T, H] and outputs [D], encoded
    alone.
    """

    tokens: Sequence[str] | None
    layers: Mapping[Layer, np.ndarray]
    outputs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """How a model is made, the kind it is to be recognised as, and what it gives."""

    kind: str
    build: Callable[[Path], Path]
    expected: Callable[[str], Expected]
    asked: Mapping[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------------------------- references


def _bert(given: Sequence[Layer] = (1, 2), outputs: Sequence[str] = ("pooler",), **parts):
    """`given` are the layers, numbered or -1 alone; `outputs` those that are the pooled one."""

    def expected(text: str, b: str | None = None) -> Expected:
        weights, config, name, content = _parts(**parts)
        tokens, ids, segments = _tokens(name, content, parts.get("do_lower_case"), text, b)
        found, pooled = bert(weights, config, np.array(ids), segments=np.array(segments))
        last = {-1: found[-1]} if -1 in given else {}
        known = dict(enumerate(found)) | last
        return Expected(tokens, {n: known[n] for n in given}, dict.fromkeys(outputs, pooled))

    return expected


@functools.cache
def _parts(**parts):
    return bert_parts(**parts)


def _tokens(name: str, content: bytes, lower: bool | None, text: str, b: str | None):
    """Tokens, ids and segments by the programs that the vocabularies were made for."""
    texts = [one for one in (text, b) if one is not None]
    if name == "vocab.txt":
        lines = content.decode().splitlines()
        wordpiece = GoogleWordPiece(lines, lower is not False)
        tokens, segments = assemble(
            *([wordpiece.tokenize(one) for one in texts] + [None])[:2], max_seq_length=10**6
        )
        return tokens, wordpiece.ids(tokens), segments
    pieces = sentencepiece.SentencePieceProcessor(model_proto=content)
    lowered = [one.lower() if lower is not False else one for one in texts]
    tokens, segments = assemble(
        *([pieces.encode(one, out_type=str) for one in lowered] + [None])[:2],
        max_seq_length=10**6,
    )
    return tokens, [pieces.piece_to_id(token) for token in tokens], segments


def words_of(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def _elmo(**options):
    def expected(text: str) -> Expected:
        (found,) = elmo_reference([words_of(text)], **options)
        layers = {layer: found[key] for layer, key in ELMO_LAYERS.items()}
        return Expected(words_of(text), layers, {"default": found["default"]})

    return expected


def _looked_up(text: str) -> Expected:
    return Expected(words_of(text), {0: tokens_reference(words_of(text))}, {})


def _text(reference: Callable[[list[str]], Any], name: str = "default"):
    """Of a reference that gives one array, or arrays by name."""

    def expected(text: str) -> Expected:
        found = reference([text])
        named = found if isinstance(found, dict) else {name: found}
        return Expected(None, {}, {key: rows[0] for key, rows in named.items()})

    return expected


def _strings(kind: str, name: str = ""):
    def reference(texts):
        found = strings_reference(kind, texts)
        return {name: found["default"]} if name else found

    return Model("saved_strings", partial(strings_saved_model, kind=kind), _text(reference))


def _pieces(text: str) -> Expected:
    from tests.models import sentence_piece_model

    pieces = sentencepiece.SentencePieceProcessor(model_proto=sentence_piece_model())
    tokens = pieces.encode(text, out_type=str)
    return Expected(tokens, {}, {"default": use_lite_reference([text])[0]})


def _unknown(text: str) -> Expected:
    (found,) = unknown_reference([text])
    return Expected(None, {}, {key: found[key] for key in ("vec", "logits")})


def _unknown_ids(text: str) -> Expected:
    content = _parts()[3]
    lines = content.decode().splitlines()[:97]
    wordpiece = GoogleWordPiece(lines)
    tokens, _ = assemble(wordpiece.tokenize(text), None, 10**6)
    (found,) = unknown_reference([wordpiece.ids(tokens)])
    return Expected(tokens, {-1: found["states"]}, {"vec": found["vec"]})


# -------------------------------------------------------------------------------------- models


_ALL = ("pooler", "default", "pooled_output")
_BOTH = ("pooler", "pooled_output")

MODELS: Mapping[str, Model] = {
    "bert": Model("saved_bert", bert_saved_model, _bert(outputs=_ALL)),
    "bert, other sizes": Model(
        "saved_bert",
        partial(bert_saved_model, layers=3, hidden=24, heads=4, seed=7),
        _bert((1, 2, 3), _ALL, layers=3, hidden=24, heads=4, seed=7),
    ),
    "bert, last layer": Model(
        "saved_bert",
        partial(bert_saved_model, encoder_outputs=False, default=False),
        _bert((-1,), _BOTH),
    ),
    "bert, training first": Model(
        "saved_bert", partial(bert_saved_model, training_traces=(True, False)), _bert(outputs=_ALL)
    ),
    "bert, call alone": Model(
        "saved_bert", partial(bert_saved_model, signatures=False), _bert(outputs=_ALL)
    ),
    "bert, serving_default": Model(
        "saved_bert",
        bert_saved_model,
        _bert((-1,), _ALL),
        {"signature": "serving_default"},
    ),
    "bert, fixed length": Model(
        "saved_bert", partial(bert_saved_model, fixed_length=128), _bert((-1,), _ALL, positions=128)
    ),
    "bert, positional": Model(
        "saved_bert", partial(bert_saved_model, positional=True), _bert((-1,), ("pooler", "0"))
    ),
    "bert, int64": Model("saved_bert", partial(bert_saved_model, ids="int64"), _bert(outputs=_ALL)),
    "bert, cased": Model(
        "saved_bert",
        partial(bert_saved_model, do_lower_case=False),
        _bert(outputs=_ALL, do_lower_case=False),
    ),
    "bert, case not said": Model(
        "saved_bert", partial(bert_saved_model, do_lower_case=None), _bert(outputs=_ALL)
    ),
    "bert, SentencePiece": Model(
        "saved_bert",
        partial(bert_saved_model, sentencepiece=True),
        _bert(outputs=_ALL, sentencepiece=True),
    ),
    "bert, no pooler": Model(
        "saved_bert",
        partial(bert_saved_model, with_pooler=False, default=False),
        _bert(outputs=(), with_pooler=False),
    ),
    "keras save": Model("saved_bert", keras_bert_saved_model, _bert(outputs=_ALL)),
    "keras export": Model(
        "saved_bert",
        partial(keras_bert_saved_model, how="export"),
        _bert((-1,), _ALL),
        {"tokenizer": "vocab.txt"},
    ),
    "tf1 style": Model("saved_bert", tf1_style_bert, _bert((-1,), _BOTH)),
    "bert module": Model("saved_bert", bert_module, _bert((-1,), _BOTH)),
    "bert module, cased, train": Model(
        "saved_bert",
        partial(bert_module, do_lower_case=False, train_graph=True, mlm=True),
        _bert((-1,), _BOTH, do_lower_case=False),
    ),
    "bert module, SentencePiece": Model(
        "saved_bert",
        partial(bert_module, sentencepiece=True),
        _bert((-1,), _BOTH, sentencepiece=True),
    ),
    "tf1 saved": Model("saved_bert", tf1_saved_bert, _bert((-1,), _BOTH)),
    "unknown ids": Model(
        "saved_bert",
        partial(unknown_signature, kind="ids"),
        _unknown_ids,
        {"signature": "embed_v2", "output_key": "vec", "tokenizer": "short.txt"},
    ),
    "elmo": Model("saved_words", elmo, _elmo()),
    "elmo, tokens": Model("saved_words", elmo, _elmo(), {"signature": "tokens"}),
    "elmo, masked": Model(
        "saved_words", partial(elmo, padding_sensitive=False), _elmo(padding_sensitive=False)
    ),
    "token lookup": Model("saved_words", token_lookup, _looked_up),
    "word2vec": Model("saved_words", word2vec_lookup, _looked_up),
    "use lite": Model("saved_pieces", use_lite, _pieces),
    "use": Model("saved_strings", use, _text(use_reference)),
    "nnlm": Model("saved_strings", nnlm, _text(nnlm_reference)),
    "nnlm, legacy_init_op": Model(
        "saved_strings",
        partial(nnlm, init_collection="legacy_init_op", parts=2),
        _text(nnlm_reference),
    ),
    "nnlm, main_op": Model(
        "saved_strings",
        partial(
            nnlm, init_collection="saved_model_main_op", input_name="sentences", train_graph=True
        ),
        _text(nnlm_reference),
    ),
    "strings, use": _strings("use"),
    "strings, nnlm": _strings("nnlm"),
    "strings, multi": Model(
        "saved_strings",
        partial(strings_saved_model, kind="multi"),
        _text(partial(strings_reference, "multi")),
        {"output_key": "wide"},
    ),
    "strings, signature": _strings("signature_only", "outputs"),
    "strings, padding": _strings("padding_sensitive"),
    "strings, batch of one": _strings("batch_of_one", "outputs"),
    "strings, batch of three": Model(
        "saved_strings",
        partial(strings_saved_model, kind="batch_of_one", batch=3),
        _text(lambda texts: {"outputs": strings_reference("batch_of_one", texts)["default"]}),
    ),
    "unknown strings": Model(
        "saved_strings",
        unknown_signature,
        _unknown,
        {"signature": "embed_v2", "output_key": "vec"},
    ),
}


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="zoo"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    content = bert_parts()[3]
    (folder / "vocab.txt").write_bytes(content)
    # As many lines as the table of `unknown_signature` has rows.
    (folder / "short.txt").write_bytes(b"".join(content.splitlines(keepends=True)[:97]))
    return folder


def made(name: str) -> Path:
    """A model's folder, the same for all tests, and for models that are built alike."""
    return _built(MODELS[name].build)


@functools.cache
def _built(build: Callable[[Path], Path]) -> Path:
    return build(Path(tempfile.mkdtemp(dir=_folder())) / "model")


def asked_of(name: str) -> dict[str, str]:
    """What a user has to say of a model, files by their paths."""
    asked = dict(MODELS[name].asked)
    if "tokenizer" in asked:
        asked["tokenizer"] = str(_folder() / asked["tokenizer"])
    return asked


def flags_of(name: str) -> list[str]:
    return [f"--{flag}={value}" for flag, value in asked_of(name).items()]


@functools.cache
def described(name: str) -> ModelSpec:
    return describe_model(str(made(name)), Asked(**asked_of(name)))


@functools.cache
def loaded(name: str) -> Encoder:
    """The encoder of all that a model gives."""
    spec = described(name)
    return load_encoder(spec, Wanted(spec.layers, spec.outputs))


def windows_of(spec: ModelSpec, texts: Sequence[str], pairs: Sequence[str | None] = ()) -> Windows:
    """Each text in one window; `pairs` are the second texts."""
    tokenizer = load_tokenizer(spec.tokenizer) if spec.tokenizer else None
    documents = [
        Document(str(n), text, pairs[n] if pairs else None) for n, text in enumerate(texts)
    ]
    return cut(Documents.of(documents), tokenizer, WindowPlan(None, pairs=spec.pairs)).windows
