"""What transformers 5 puts in the place of a folder's tokenizer, and whether a text shows it.

Until version 4 a fast tokenizer was what `tokenizer.json` says. Version 5 takes the vocabulary
alone from it and builds the rest from the class that a folder names, or that its model has. A
`sentencepiece.bpe.model` alone has been rebuilt by both. Models were trained with the tokens of
their files, which is what corpusvec reads.

Source: transformers 5.23, tokenization_utils_tokenizers.py, tokenization_bert.py and
tokenization_xlm_roberta.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.transformers.tokenizer_settings import named, outline, unheld
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.storage.json_files import read_json
from corpusvec.transforms.tokens import conversions, piece_models
from corpusvec.transforms.tokens.tokens import Tokenizer

_PROBES = (
    "The quick brown foxes aren't JUMPING over 13 lazy dogs, are they?",
    "Crème brûlée, Ångström, İstanbul, ΣΊΣΥΦΟΣ, naïve e\u0301",
    "東京タワーで会いましょう。ｶﾞｷﾞｸﾞ ＡＢＣ１２３ 北京大学",
    "안녕하세요 мир! Привет, Ёлка. नमस्ते",
    "a_b-c/d@e.com  two  spaces\ttab\nline C++ #tag 3.14 €5 \u00ab x \u00bb",
    "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    "x\u200by\u00adz\ufeff ☃ 😀 \u0007 end ",
)


def notes(
    spec: TokenizerSpec, said: Mapping[str, Any], name: str, tokenizer: Tokenizer
) -> Iterator[str]:
    """A note where transformers 5 has other tokens; `name` is the class, `tokenizer` ours."""
    file = Path(spec.path)
    if spec.kind in conversions.KINDS and file.suffix == ".model":
        yield from _of_pieces(spec.kind, file)
    if name not in _REBUILT:
        return
    if file.name == "sentencepiece.bpe.model" and name != "XLMRobertaTokenizer":
        yield (
            f"{file.name}: no file names the class of the tokenizer, which transformers 4"
            f" refuses and transformers 5 takes for {name}; here it is XLMRobertaTokenizer"
        )
        return
    if spec.lowercase_asked:
        said = {**said, "do_lower_case": spec.lowercase}
    build, ends = _REBUILT[name]
    names = {**ends, "unk_token": _UNKNOWN[name], **named(said, file)}
    written = _OUTLINES[file.name](file)
    if file.name != "tokenizer.json":  # no token is found in a text but those of the structure
        said = {**said, "added_tokens_decoder": None}
    rebuilt = build(written, said, names)
    around = [names[key] for key in ends]
    ours = [token[0] for token in (tokenizer.cls, tokenizer.sep) if token]
    if around != ours:
        shown = f" ({' and '.join(around)} around a text, not {' and '.join(ours)})"
    elif unheld(said) or any(rebuilt[part] != written.get(part) for part in rebuilt):
        shown = _difference(spec, written, rebuilt, said, tokenizer)
    else:
        return
    if shown:
        trained = file.name == "sentencepiece.bpe.model"
        here = "SentencePiece's own" if trained else "those of the file, as in transformers 4"
        yield (
            f"{file.name}: transformers 5 builds its {name} from this file, which has other"
            f" tokens{shown}; here they are {here}"
        )


def _of_pieces(kind: str, file: Path) -> Iterator[str]:
    """A note on a SentencePiece model that is read as by version 4."""
    characters = piece_models.read(file).normalizer_spec.precompiled_charsmap
    where = {
        "albert": "of texts that end with a space, and beside pieces that the file has found first",
        "deberta_v2": "of characters for which the file has rules" if characters else "",
    }.get(kind, "" if characters else "of tabs and line ends in a text")
    if where:
        yield (
            f"{file.name}: transformers 5 has other tokens {where}; here they are as in"
            " transformers 4"
        )


def _bert(contents, said: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    model = {
        "type": "WordPiece",
        "unk_token": names["unk_token"],
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": _or(said.get("tokenize_chinese_chars"), True),
        "strip_accents": said.get("strip_accents"),
        "lowercase": _or(said.get("do_lower_case"), True),
    }
    return {
        "model": model,
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "added_tokens": _added(contents, said),
    }


def _xlm(contents, said: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    model = {
        "type": "Unigram",
        "unk_id": 3,
        "byte_fallback": False,
    }
    normalizer = contents.get("normalizer") or {}
    parts = normalizer.get("normalizers") or [normalizer]
    precompiled = [part for part in parts if part.get("type") == "Precompiled"]
    scheme = "always" if _or(said.get("add_prefix_space"), True) else "never"
    spaces = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}
    words = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, spaces]}
    older = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": scheme == "always"}
    written = contents.get("pre_tokenizer") or {}
    same = written.get("pretokenizers") == [{"type": "WhitespaceSplit"}, older]
    return {
        "model": model,
        "normalizer": precompiled[0] if precompiled else None,
        "pre_tokenizer": written if same else words,
        "added_tokens": _added(contents, said),
    }


# How each class is built, and what it calls the tokens around a text.
_REBUILT = {
    "BertTokenizer": (_bert, {"cls_token": "[CLS]", "sep_token": "[SEP]"}),
    "XLMRobertaTokenizer": (_xlm, {"bos_token": "<s>", "eos_token": "</s>"}),
}
_UNKNOWN = {"BertTokenizer": "[UNK]", "XLMRobertaTokenizer": "<unk>"}


def _added(contents, said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tokens that are found before the rules are asked: those that the settings list, and else
    the file's.
    """
    added = contents.get("added_tokens") or []
    decoder = said.get("added_tokens_decoder")
    if decoder is None:
        return added
    held = {token.get("content"): token for token in added}
    return [held.get(t["content"], {"id": int(number), **t}) for number, t in decoder.items()]


def _lines(file: Path) -> dict[str, Any]:
    """A `vocab.txt` as the tokenizers library reads it: lines end at line feeds alone, and lose the
    white space at their ends.
    """
    lines = file.read_bytes().decode().removesuffix("\n").split("\n")
    vocabulary = {line.rstrip(): number for number, line in enumerate(lines)}
    return {"model": {"vocab": vocabulary}, "added_tokens": []}


# By file: what version 5 reads in it, as a `tokenizer.json` says it.
_OUTLINES: Mapping[str, Callable[[Path], Mapping[str, Any]]] = {
    "tokenizer.json": outline,
    "vocab.txt": _lines,
    "sentencepiece.bpe.model": piece_models.as_tokenizer_json,
}


def _or(value: Any, default: bool) -> bool:
    return default if value is None else bool(value)


def _difference(
    spec: TokenizerSpec,
    written: Mapping[str, Any],
    rebuilt: Mapping[str, Any],
    said: Mapping[str, Any],
    ours: Tokenizer,
) -> str:
    """The first text that has other tokens, in brackets; empty where none has."""
    if written["model"].get("byte_fallback") and not rebuilt["model"].get("byte_fallback"):
        return " (of characters that are no pieces)"
    file = Path(spec.path)
    contents = read_json(file) if file.name == "tokenizer.json" else written
    theirs = _library(contents, rebuilt, spec.lowercase_first)
    if theirs is None:
        return ", or none"
    theirs.add_special_tokens(unheld(said))
    found = [{t["content"] for t in one["added_tokens"] or ()} for one in (contents, rebuilt)]
    own = [*sorted((found[0] ^ found[1]).union(unheld(said))), *_own_probes(file, written)]
    texts = [*_PROBES, *own]
    words = [word for text in texts for word in (*text.split(), text)]
    for word, tokens in zip(words, ours.encode(words, spans=False)):
        try:
            ids = theirs.encode(word, add_special_tokens=False).ids
        except Exception:  # what the library raises; a token for unknown words may be missing
            return f" (of {word!r} none, for one)"
        if ids != tokens.ids.tolist():
            return f" (of {word!r}, for one)"
    return ""


def _own_probes(file: Path, written: Mapping[str, Any]) -> list[str]:
    """Words that the file's own rules or lines treat apart: the other probes may not have them."""
    if file.name == "vocab.txt":
        lines = file.read_text("utf-8").split("\n")
        return [line.strip() for line in lines if line != line.rstrip() and line.strip()]
    rules = json.dumps([written.get("normalizer"), written.get("pre_tokenizer")])
    return [json.loads(text) for text in re.findall(r'{"String": ("(?:[^"\\]|\\.)*")}', rules)]


def _library(contents: Mapping[str, Any], rebuilt: Mapping[str, Any], lowercase_first: bool):
    """A tokenizer of the rebuilt parts and the file's pieces; None where it cannot be."""
    from tokenizers import Tokenizer as Library
    from tokenizers import normalizers

    pieces = contents["model"]["vocab"]
    if rebuilt["model"]["type"] == "WordPiece" and isinstance(pieces, list):
        pieces = {piece: number for number, (piece, _) in enumerate(pieces)}
    bare = dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
    whole = {**contents, **rebuilt, **bare, "model": {**rebuilt["model"], "vocab": pieces}}
    try:
        library = Library.from_str(json.dumps(whole))
    except Exception as error:  # the library raises bare ones
        if type(error) is not Exception:
            raise
        return None
    if lowercase_first:
        rest = [library.normalizer] if library.normalizer else []
        library.normalizer = normalizers.Sequence([normalizers.Lowercase(), *rest])
    return library
