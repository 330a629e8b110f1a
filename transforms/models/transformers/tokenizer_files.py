"""The tokenizer of a Hugging Face folder: its file, and the rules that the files beside it give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.transformers import (
    japanese_tokenizers,
    rebuilt_tokenizers,
    tokenizer_settings,
)
from corpusvec.transforms.specs import TokenizerSpec, VectorColumn
from corpusvec.transforms.storage.json_files import setting
from corpusvec.transforms.tokens.tokenizers import Tokenizer


def _classes(*names: str) -> tuple[str, ...]:
    """Older files name a class with `Fast` behind it."""
    return tuple(f"{name}Tokenizer{fast}" for name in names for fast in ("", "Fast"))


_XLM_CLASSES = _classes("XLMRoberta")
_OF_VOCABULARIES = _classes("Bert", "DistilBert", "Electra")
# Those that replace rules for case, accents and Chinese characters of a file.
_WORD_PIECE_CLASSES = (*_OF_VOCABULARIES, *_classes("MPNet"))
# Those that replace a file's rule for the space before a text.
_BYTE_CLASSES = _classes("Roberta", "GPT2", "Bart", "Longformer", "Luke", "Deberta")
_LIBRARY_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
# Those that do not tell the texts of a pair apart, where no file says whether they do.
_UNSEGMENTED = (
    *_XLM_CLASSES,
    *_classes("Roberta", "Camembert", "MPNet", "DistilBert", "Luke", "MLuke", "T5"),
    *_classes("GPT2", "Gemma", "Llama", "Qwen2"),
)
# Programs of their own, which read no tokenizer.json.
_JAPANESE = "BertJapaneseTokenizer"
_PROGRAMS = _classes("Bertweet", "ByT5", "Canine", "Phobert", "XLM", "Flaubert")
_KINDS: Mapping[str, tuple[str, tuple[str, ...] | None]] = {
    "tokenizer.json": ("tokenizer.json", None),
    "vocab.txt": ("bert_fast", _OF_VOCABULARIES),
    "sentencepiece.bpe.model": ("xlm_roberta", (*_XLM_CLASSES, *_classes("MLuke"))),
}

_CLASS_DEFAULTS: Mapping[str, bool | None] = {
    "do_lower_case": True,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
}
_BERT_NAMES = {f"{key}_token": f"[{key.upper()}]" for key in ("cls", "mask", "pad", "sep", "unk")}
_XLM_NAMES = {
    **{f"{key}_token": f"<{key}>" for key in ("mask", "pad", "unk")},
    **dict.fromkeys(("bos_token", "cls_token"), "<s>"),
    **dict.fromkeys(("eos_token", "sep_token"), "</s>"),
}
_NAMES_OF_CLASSES: Mapping[str | None, dict[str, str]] = {
    **dict.fromkeys(_OF_VOCABULARIES, _BERT_NAMES),
    **dict.fromkeys((*_XLM_CLASSES, *_classes("Roberta", "Camembert")), _XLM_NAMES),
    **dict.fromkeys(_classes("MPNet"), _XLM_NAMES | {"unk_token": "[UNK]"}),
}
# Models that count positions from the left end of a padded batch.
_ABSOLUTE = ("albert", "bert", "distilbert", "electra")
# The classes that transformers takes where no file names one.
_OF_MODELS = {
    "bert": "BertTokenizer",
    "camembert": "CamembertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "mpnet": "MPNetTokenizer",
    "nomic_bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}


def find(place: Path) -> tuple[Path, dict[str, Any]]:
    """The file that holds the tokenizer, and what the files beside it say, see
    `tokenizer_settings`.
    """
    if place.is_file():
        file, folder = place, place.parent
    else:
        folder = place
        there = own_files(folder)
        if not there:
            raise ValueError(
                f"{folder}: no {', '.join(_KINDS)};"
                " name the tokenizer's folder or file with --tokenizer"
            )
        file = there[0]
    said = tokenizer_settings.read(folder)
    vocabulary = folder / "vocab.txt"
    if said.get("tokenizer_class") == _JAPANESE and vocabulary.is_file() and not place.is_file():
        file = vocabulary  # the class reads no other
    return file, said


def own_files(folder: Path) -> list[Path]:
    """The tokenizer's files in a folder, the one that is read first."""
    return [folder / name for name in _KINDS if (folder / name).is_file()]


def describe(
    file: Path,
    said: Mapping[str, Any],
    model: Mapping[str, Any],
    lowercase: bool | None,
    lowercase_first: bool,
) -> TokenizerSpec:
    """`said` is what the files beside the tokenizer's say, `model` the model's configuration,
    `lowercase` what the user asks for. Raises `ValueError` for what is not implemented.

    Source: transformers, BertTokenizerFast: what `tokenizer_config.json` says, and else the
    defaults of the class that it names, overrides `tokenizer.json`.
    """
    about = file.with_name(tokenizer_settings.CONFIG)
    name = _class_of(said, model, about)
    if name == _JAPANESE or said.get("word_tokenizer_type"):
        return japanese_tokenizers.describe(file, said, lowercase, lowercase_first)
    kind = _kind(file, name)
    tokenizer_settings.check(file, said)
    name = name or _OF_MODELS.get(str(model.get("model_type")))
    of_class = name in _WORD_PIECE_CLASSES
    rules = _rules(kind, of_class, said, about)
    names = _NAMES_OF_CLASSES.get(name, {}) | tokenizer_settings.named(said, file)
    inputs = setting(said, "model_input_names", list, about)
    spaced = bool(setting(said, "add_prefix_space", bool, about))
    return TokenizerSpec(
        kind,
        str(file),
        lowercase=rules.get("do_lower_case") if lowercase is None else lowercase,
        lowercase_first=lowercase_first,
        strip_accents=rules.get("strip_accents"),
        chinese_characters=rules.get("tokenize_chinese_chars"),
        lowercase_asked=lowercase is not None,
        of_class=of_class,
        named=tuple(names.items()),
        split_special=bool(setting(said, "split_special_tokens", bool, about)),
        segments=name not in _UNSEGMENTED if inputs is None else "token_type_ids" in inputs,
        prefix_space=spaced if name in _BYTE_CLASSES else None,
        keep_end=_side(file, said, "truncation") == "left",
    )


def check_skipped_prompt(
    spec: TokenizerSpec, tokenizer: Tokenizer, columns: Sequence[VectorColumn]
) -> None:
    """Raises `ValueError` where sentence-transformers counts the [SEP] behind a prompt among its
    tokens, and leaves out a token of the text instead.

    Source: sentence-transformers, Transformer._get_prompt_length.
    """
    sep = tokenizer.sep and tokenizer.sep[0]
    if (
        sep
        and sep not in dict(spec.named).values()
        and any(column.skip_prompt for column in columns)
    ):
        about = Path(spec.path).with_name(tokenizer_settings.CONFIG)
        raise ValueError(
            f"{about}: names no sep_token, without which sentence-transformers counts {sep} among"
            f" the tokens of a prompt, and include_prompt is false in the model's Pooling; add"
            f' "sep_token": "{sep}"'
        )


def _rules(
    kind: str, of_class: bool, said: Mapping[str, Any], about: Path
) -> Mapping[str, bool | None]:
    """Those of BERT's classes. Other classes take all rules from `tokenizer.json`."""
    if not of_class and kind != "bert_fast":
        return {"do_lower_case": False} if kind == "xlm_roberta" else {}
    found = {key: setting(said, key, bool, about) for key in _CLASS_DEFAULTS}
    return {key: _CLASS_DEFAULTS[key] if found[key] is None else found[key] for key in found}


def notes(
    spec: TokenizerSpec, said: Mapping[str, Any], model: Mapping[str, Any], tokenizer: Tokenizer
) -> Iterator[str]:
    """What a user is to know of the files: `tokenizer` is what they were read as."""
    file = Path(spec.path)
    yield from tokenizer_settings.notes(file, said)
    if spec.kind == "mecab":
        yield from japanese_tokenizers.notes(said)
        return
    kind = str(model.get("model_type"))
    if kind in _ABSOLUTE and _side(file, said, "padding") == "left":
        yield (
            "padding_side of the tokenizer is left, with which sentence-transformers gives a text"
            " other vectors beside longer ones; here they are those of each text alone"
        )
    inputs = said.get("model_input_names")
    if isinstance(inputs, list) and "attention_mask" not in inputs:
        yield (
            "model_input_names of the tokenizer has no attention_mask, without which"
            " sentence-transformers gives a text other vectors beside longer ones; here they are"
            " those of each text alone"
        )
    named = _class_of(said, model, file.with_name(tokenizer_settings.CONFIG))
    told_apart = tokenizer.segments and model.get("type_vocab_size", kind == "bert" and 2) > 1
    if named in _LIBRARY_CLASSES and told_apart and "model_input_names" not in said:
        yield (
            f"{file.name}: tells the texts of a pair apart by segments, as in transformers 4;"
            f" transformers 5 does not, for a {named}"
        )
    name = (named or _OF_MODELS.get(kind, "")).removesuffix("Fast")
    yield from rebuilt_tokenizers.notes(spec, said, name, tokenizer)


def _class_of(said: Mapping[str, Any], model: Mapping[str, Any], about: Path) -> str | None:
    return setting(said, "tokenizer_class", str, about) or model.get("tokenizer_class")


def _side(file: Path, said: Mapping[str, Any], what: str) -> str:
    """Where texts are cut (`truncation`) or padded: what the settings say, else `tokenizer.json`.

    Raises `ValueError` where that is no side.
    """
    about = file.with_name(tokenizer_settings.CONFIG)
    side = setting(said, f"{what}_side", str, about)
    if side is None and file.name == "tokenizer.json":
        of_file = tokenizer_settings.outline(file).get(what) or {}
        side = str(of_file.get("direction", "right")).lower()
    if side not in (None, "left", "right"):
        raise ValueError(f"{about}: {what}_side is {side!r}; it is left or right")
    return side or "right"


def _kind(file: Path, name: str | None) -> str:
    """Our name for the tokenizer of class `name`. Raises `ValueError` where it is another's."""
    if file.name not in _KINDS:
        raise ValueError(f"--tokenizer={file}: expected {', '.join(_KINDS)}")
    kind, classes = _KINDS[file.name]
    if name in _PROGRAMS:
        raise ValueError(
            f"{file}: the model's tokenizer is {name!r}, a program of its own, which is not"
            " implemented"
        )
    if classes and name is not None and name not in classes:
        raise ValueError(
            f"{file}: the model's tokenizer is {name!r}; {file.name} alone is read as one of"
            f" {', '.join(classes)}; save the tokenizer again, with a tokenizer.json"
        )
    return kind
