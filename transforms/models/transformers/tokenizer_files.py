"""The tokenizer of a Hugging Face folder: its file, and the rules that the files beside it give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.transformers import (
    japanese_tokenizers,
    rebuilt_tokenizers,
    tokenizer_settings,
)
from corpusvec.transforms.specs import TokenizerSpec, VectorColumn
from corpusvec.transforms.storage.json_files import setting, whole_number
from corpusvec.transforms.tokens import piece_models
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
_UNSEGMENTED_NOW = ("PreTrainedTokenizerFast", "TokenizersBackend", *_classes("Albert"))
# Those that do not tell the texts of a pair apart, where no file says whether they do.
_UNSEGMENTED = (
    *_XLM_CLASSES,
    *_classes("Roberta", "Camembert", "MPNet", "DistilBert", "Luke", "MLuke", "T5"),
    *_classes("GPT2", "Gemma", "Llama", "Qwen2"),
)
# Programs of their own, which read no tokenizer.json.
_JAPANESE = "BertJapaneseTokenizer"
_PROGRAMS = _classes("Bertweet", "ByT5", "Canine", "Phobert", "XLM", "Flaubert")

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
_MPNET_NAMES = _XLM_NAMES | {"unk_token": "[UNK]"}
_ALBERT_NAMES = _BERT_NAMES | {"pad_token": "<pad>", "unk_token": "<unk>"}
_T5_NAMES = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
_GPT2_NAMES = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of `tokenizers.TOKENIZERS`, the classes that read it, and the special tokens of these;
    no file can replace those that are named `around`. Of the settings `only` one value is
    implemented.
    """

    name: str
    classes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    around: tuple[str, ...] = ()
    only: Mapping[str, bool] = field(default_factory=dict)


_CLS, _BOS = ("cls_token", "sep_token"), ("bos_token", "eos_token", "unk_token")
_NO_ENDS, _SPACED = {"add_bos_token": False, "add_eos_token": False}, {"add_prefix_space": True}
_KINDS: Mapping[str, tuple[_Kind, ...]] = {
    "tokenizer.json": (_Kind("tokenizer.json"),),
    "vocab.txt": (
        _Kind("bert_fast", _OF_VOCABULARIES, _BERT_NAMES, (*_CLS, "unk_token")),
        _Kind("mpnet", _classes("MPNet"), _MPNET_NAMES, (*_CLS, "unk_token")),
    ),
    "sentencepiece.bpe.model": (
        _Kind("xlm_roberta", (*_XLM_CLASSES, *_classes("MLuke")), _XLM_NAMES, _BOS),
        _Kind("camembert", _classes("Camembert"), _XLM_NAMES, _BOS, _SPACED),
    ),
    "spiece.model": (
        _Kind("albert", _classes("Albert"), _ALBERT_NAMES, _CLS, _SPACED),
        _Kind("t5", _classes("T5", "MT5"), _T5_NAMES, ("eos_token",), _SPACED),
    ),
    "spm.model": (
        _Kind(
            "deberta_v2",
            _classes("DebertaV2"),
            _BERT_NAMES,
            _CLS,
            {**_SPACED, "split_by_punct": False},
        ),
    ),
    "vocab.json": (
        _Kind("roberta", _classes("Roberta", "Longformer", "Bart", "Luke"), _XLM_NAMES, _CLS),
        _Kind("gpt2", _classes("GPT2"), _GPT2_NAMES, only=_NO_ENDS),
        _Kind("qwen2", _classes("Qwen2"), _GPT2_NAMES, only=_NO_ENDS),
    ),
}
_NAMES_OF_CLASSES: Mapping[str | None, Mapping[str, str]] = {
    name: kind.names for kinds in _KINDS.values() for kind in kinds for name in kind.classes
}
_UNNAMED = ("vocab.txt", "sentencepiece.bpe.model")  # read though no file names a class
_SECOND = {"vocab.json": "merges.txt"}
_MOST_EXTRA_IDS = 10_000

# Models that count positions from the left end of a padded batch.
_ABSOLUTE = ("albert", "bert", "distilbert", "electra")
# The classes that transformers takes where no file names one.
_OF_MODELS = {
    "albert": "AlbertTokenizer",
    "bert": "BertTokenizer",
    "camembert": "CamembertTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "luke": "LukeTokenizer",
    "mpnet": "MPNetTokenizer",
    "mt5": "T5Tokenizer",
    "nomic_bert": "BertTokenizer",
    "qwen3": "Qwen2Tokenizer",
    "roberta": "RobertaTokenizer",
    "t5": "T5Tokenizer",
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
    named = _class_of(said, model, about)
    if named == _JAPANESE or said.get("word_tokenizer_type"):
        return japanese_tokenizers.describe(file, said, lowercase, lowercase_first)
    name = named or _OF_MODELS.get(str(model.get("model_type")))
    kind = _kind(file, name, named)
    extra = _check_kind(kind, file, said)
    of_class = name in _WORD_PIECE_CLASSES
    rules = _rules(kind.name, of_class, said, about)
    names = kind.names or _NAMES_OF_CLASSES.get(name, {})
    return TokenizerSpec(
        kind.name,
        str(file),
        vocabulary=_second(file),
        lowercase=rules.get("do_lower_case") if lowercase is None else lowercase,
        lowercase_first=lowercase_first,
        strip_accents=rules.get("strip_accents"),
        chinese_characters=rules.get("tokenize_chinese_chars"),
        lowercase_asked=lowercase is not None,
        of_class=of_class,
        named=tuple((dict(names) | tokenizer_settings.named(said, file)).items()),
        split_special=bool(setting(said, "split_special_tokens", bool, about)),
        segments=_tells_apart(name, said, about),
        prefix_space=_prefix_space(name, said, about),
        keep_end=_side(file, said, "truncation") == "left",
        extra_ids=extra,
    )


def _tells_apart(name: str | None, said: Mapping[str, Any], about: Path) -> bool:
    """Whether the model distinguishes the texts of a pair."""
    inputs = setting(said, "model_input_names", list, about)
    return name not in _UNSEGMENTED if inputs is None else "token_type_ids" in inputs


def _prefix_space(name: str | None, said: Mapping[str, Any], about: Path) -> bool | None:
    spaced = bool(setting(said, "add_prefix_space", bool, about))
    return spaced if name in _BYTE_CLASSES else None


def _extra_ids(said: Mapping[str, Any], about: Path) -> int:
    """How many tokens of its own a T5 has."""
    found = whole_number({"extra_ids": 100} | dict(said), "extra_ids", about, least=0)
    if found > _MOST_EXTRA_IDS:
        raise ValueError(f"{about}: extra_ids is {found}; expected {_MOST_EXTRA_IDS} or less")
    return found


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
    """Those of the class. Most take all rules from `tokenizer.json`."""
    if kind == "albert":
        accents = bool(setting(said, "keep_accents", bool, about))
        lower = setting(said, "do_lower_case", bool, about)
        return {"do_lower_case": lower is not False, "strip_accents": not accents}
    if kind in ("deberta_v2", "xlm_roberta"):
        lower = kind == "deberta_v2" and setting(said, "do_lower_case", bool, about)
        return {"do_lower_case": bool(lower)}
    if not of_class and kind != "bert_fast":
        return {}
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
    name = named or _OF_MODELS.get(kind, "")
    types = model.get("type_vocab_size", 2 if kind == "bert" else 0)
    told_apart = tokenizer.segments and isinstance(types, int) and types > 1
    if name in _UNSEGMENTED_NOW and told_apart and "model_input_names" not in said:
        yield (
            f"{file.name}: tells the texts of a pair apart by segments, as in transformers 4;"
            f" transformers 5 does not, for a {name}"
        )
    name = name.removesuffix("Fast")
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


def _kind(file: Path, name: str | None, named: str | None) -> _Kind:
    """How the tokenizer is read: its class is `name`, and `named` by a file, if by any. Raises
    `ValueError` where it is another's.
    """
    if file.name not in _KINDS:
        raise ValueError(f"--tokenizer={file}: expected {', '.join(_KINDS)}")
    if named in _PROGRAMS:
        raise ValueError(
            f"{file}: the model's tokenizer is {named!r}, a program of its own, which is not"
            " implemented"
        )
    kinds = _KINDS[file.name]
    for kind in kinds:
        if not kind.classes or name in kind.classes:
            return kind
    if named is None and file.name in _UNNAMED:
        return kinds[0]
    classes = ", ".join(one for kind in kinds for one in kind.classes)
    raise ValueError(
        f"{file}: the model's tokenizer is {name or 'of no class'!r}; {file.name} alone is read as"
        f" one of {classes}; save the tokenizer again, with a tokenizer.json"
    )


def _second(file: Path) -> str:
    """The file that belongs to another, if one does. Raises `ValueError` where it is not there."""
    if file.name not in _SECOND:
        return ""
    second = file.with_name(_SECOND[file.name])
    if not second.is_file():
        raise ValueError(f"{file}: has no {second.name} beside it, which belongs to it")
    return str(second)


def _check_kind(kind: _Kind, file: Path, said: Mapping[str, Any]) -> int:
    """The number of T5's extra tokens. Raises `ValueError` where the files ask for what a kind does
    not do.
    """
    about = file.with_name(tokenizer_settings.CONFIG)
    extra = _extra_ids(said, about) if kind.name == "t5" else 0
    tokenizer_settings.check(file, said, [f"<extra_id_{number}>" for number in range(extra)])
    found = tokenizer_settings.named(said, file)
    for key in kind.around:
        if found.get(key, kind.names[key]) != kind.names[key]:
            raise ValueError(
                f"{tokenizer_settings.source(file, key)}: {key} is {found[key]!r}; {file.name} is"
                f" read with {kind.names[key]} alone; save the tokenizer again, with a"
                " tokenizer.json"
            )
    for key, value in kind.only.items():
        if said.get(key) not in (None, value):
            raise ValueError(
                f"{tokenizer_settings.source(file, key)}: {key} is {said[key]!r}, which is not"
                f" implemented for {file.name} alone; save the tokenizer again, with a"
                " tokenizer.json"
            )
    if kind.name == "xlm_roberta":
        piece_models.check(file)
    return extra
