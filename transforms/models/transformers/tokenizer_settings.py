"""What the files beside a tokenizer say of it: applied, known to change no vector, or refused.

Source: transformers 4.57 and 5.23, `_from_pretrained` and the classes of BERT and XLM-RoBERTa.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from corpusvec.transforms.storage.json_files import read_json, setting
from corpusvec.transforms.tokens.tokenizers import STRUCTURE

CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LISTS = ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens")
_APPLIED = {
    *("tokenizer_class", "do_lower_case", "strip_accents", "tokenize_chinese_chars"),
    *("word_tokenizer_type", "subword_tokenizer_type", "auto_map", "fast_tokenizer_files"),
    *("model_max_length", "max_len", "truncation_side", "padding_side", "model_input_names"),
    *("split_special_tokens", "added_tokens_decoder", "add_prefix_space", *_LISTS, *NAMES),
}
_ENTITIES = ("<ent>", "<ent2>")  # of LUKE, around the names of things, which no text marks here
_FLAGS = ("lstrip", "rstrip", "normalized", "single_word")  # how a token is found
# For decoding, chats and training; for the slow tokenizers of BERT and XLM-R, which
# sentence-transformers does not use; or said again in its calls.
_WITHOUT_EFFECT = {
    *("add_bos_token", "add_eos_token", "backend", "chat_control_tokens"),
    *("chat_template", "clean_up_tokenization_spaces", "do_basic_tokenize", "do_remove_space"),
    *("do_subword_tokenize", "do_word_tokenize", "errors", "files_loaded", "from_slow"),
    *("init_inputs", "is_fast", "is_local", "keep_accents", "legacy", "local_files_only"),
    *("max_length", "mecab_kwargs", "name_or_path", "never_split", "pad_to_multiple_of"),
    *("jumanpp_kwargs", "spm_file", "sudachi_kwargs", "extra_ids", "split_by_punct", "unk_id"),
    *("entity_token_1", "entity_token_2", "max_entity_length", "max_mention_length", "task"),
    *("spaces_between_special_tokens", "use_default_system_prompt"),
    *("pad_token_type_id", "processor_class", "remove_space", "response_schema"),
    *("response_template", "revision", "sp_model_kwargs", "special_tokens_map_file", "stride"),
    *("tokenizer_file", "tokenizer_type", "transformers_version", "trim_offsets"),
    *("truncation_strategy", "trust_remote_code", "use_fast", "verbose", "vocab_file"),
    "vocab_type",
    *("wordpieces_prefix", "_commit_hash", "_name_or_path"),
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
}
_OF_TOKENIZER_JSON = {
    *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"),
    *("post_processor", "decoder", "model"),
}


def read(folder: Path) -> dict[str, Any]:
    """What `tokenizer_config.json` says; and `special_tokens_map.json`, which transformers reads
    where the former does not list the added tokens.
    """
    said = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if "added_tokens_decoder" not in said and (folder / MAP).is_file():
        said = said | read_json(folder / MAP)
    if "max_len" in said and "model_max_length" not in said:  # its name in older files
        said["model_max_length"] = said["max_len"]
    return said


def outline(file: Path) -> Mapping[str, Any]:
    """What a `tokenizer.json` says, without its pieces, which are many. To be read, not written.

    Raises `ValueError` where it is no JSON object.
    """
    return _outline(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _outline(file: Path, _modified: int) -> Mapping[str, Any]:
    contents = read_json(file)
    model = contents.get("model")
    pieces = ("vocab", "merges")
    if isinstance(model, dict):
        contents["model"] = {key: model[key] for key in model if key not in pieces}
    return contents


def notes(file: Path, said: Mapping[str, Any]) -> Iterator[str]:
    """What nobody here knows."""
    for key in sorted(said.keys() - _APPLIED - _WITHOUT_EFFECT):
        if not _is_token(key, said[key]):
            yield f"{source(file, key).name}: {key} is unknown to corpusvec, which ignores it"
    if file.name == "tokenizer.json":
        for key in sorted(outline(file).keys() - _OF_TOKENIZER_JSON):
            yield f"{file.name}: {key} is unknown to corpusvec, which ignores it"


def source(file: Path, key: str) -> Path:
    """The file beside the tokenizer's that says what `read` found by a key."""
    about, names = file.with_name(CONFIG), file.with_name(MAP)
    said = read_json(about) if about.is_file() else {}
    read_too = "added_tokens_decoder" not in said and names.is_file()
    return names if read_too and key in read_json(names) else about


def named(said: Mapping[str, Any], file: Path) -> dict[str, str]:
    """The special tokens that have a name of their own, as `cls_token`."""
    found = {}
    for key in NAMES:
        if token := setting(said, key, str | dict, source(file, key)):
            found[key] = content(token)
    return found


def content(token: Any) -> str:
    """Of a token that is spelled out, or an object that tells how it is found."""
    return str(token.get("content")) if isinstance(token, dict) else str(token)


def check(file: Path, said: Mapping[str, Any], more: Collection[str] = ()) -> None:
    """Raises `ValueError` where the files ask for what is not implemented. `more` are tokens that
    a kind of tokenizer has beside those of its file.
    """
    about = file.with_name(CONFIG)
    code = said.get("auto_map")
    if code and (not isinstance(code, dict) or code.get("AutoTokenizer")):
        raise ValueError(
            f"{about}: auto_map names a tokenizer with code of its own, which corpusvec does not"
            " run; save the model with a tokenizer.json and without auto_map"
        )
    for name in setting(said, "fast_tokenizer_files", list, about) or []:
        if name != "tokenizer.json" and file.with_name(str(name)).is_file():
            raise ValueError(
                f"{about}: fast_tokenizer_files has {name} for some versions of transformers;"
                " keep one of the files as tokenizer.json, and remove the key"
            )
    _check_added(file, said, more)
    if file.name == "tokenizer.json":
        model = outline(file).get("model")
        if isinstance(model, dict) and model.get("dropout"):
            raise ValueError(
                f"{file}: model.dropout is {model['dropout']!r}: a text would have other tokens"
                " each time; set it to null"
            )
        if isinstance(model, dict) and "unk_id" in model and model["unk_id"] is None:
            raise ValueError(
                f"{file}: model.unk_id is null: no text with an unknown character would have"
                " tokens; set it to the number of the unknown token"
            )


def _check_added(file: Path, said: Mapping[str, Any], more: Collection[str]) -> None:
    """Raises `ValueError` where files beside the tokenizer's add a token that this does not hold,
    or holds otherwise: transformers finds such a token in a text before its rules are asked.
    """
    _check_decoder(said, source(file, "added_tokens_decoder"))
    structure = STRUCTURE.union(named(said, file).values(), _ENTITIES, more)
    others = [(t, where) for t, where in _added(file, said) if content(t) not in structure]
    if not others:
        return
    held: dict[str, Mapping[str, Any]] = {}
    if file.name == "tokenizer.json":
        held = {content(token): token for token in outline(file).get("added_tokens") or []}
    for token, where in others:
        name = content(token)
        if name not in held:
            raise ValueError(
                f"{where}: adds the token {name!r}, which {file.name} does not hold among its"
                " own; save the tokenizer again, with a tokenizer.json"
            )
        for flag in _FLAGS if isinstance(token, dict) else ():
            if flag in token and bool(token[flag]) != bool(held[name].get(flag)):
                raise ValueError(
                    f"{where}: {flag} of the token {name!r} is {token[flag]!r}, and"
                    f" {held[name].get(flag)!r} in {file.name}; save the tokenizer again"
                )


def _check_decoder(said: Mapping[str, Any], source: Path) -> None:
    """Raises `ValueError` where it is not what a library reads that wrote it."""
    decoder = setting(said, "added_tokens_decoder", dict, source) or {}
    for number, token in decoder.items():
        whole = isinstance(token, dict) and isinstance(token.get("content"), str)
        if not (whole and number.isdecimal()):
            raise ValueError(
                f"{source}: added_tokens_decoder: {number} must be an id, and of an object with a"
                f" content, got {token!r}"
            )


def _added(file: Path, said: Mapping[str, Any]) -> Iterator[tuple[Any, Path]]:
    """Tokens that are found in a text, and the file that says so."""
    for key in ("added_tokens_decoder", *_LISTS):
        more = setting(said, key, list | dict, source(file, key)) or []
        for token in more.values() if isinstance(more, dict) else more:
            yield token, source(file, key)
    if (beside := file.with_name(ADDED)).is_file():
        for token in read_json(beside):
            yield token, beside


def _is_token(key: str, value: Any) -> bool:
    """Whether transformers 5 takes a key for the name of a special token."""
    return key.endswith("_token") and isinstance(value, str | dict)


def unheld(said: Mapping[str, Any]) -> list[str]:
    """Special tokens of names that no class knows: transformers 5 finds them in a text."""
    return [content(said[key]) for key in said if _is_token(key, said[key]) and key not in NAMES]
