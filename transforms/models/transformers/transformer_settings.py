"""What the first module of a sentence-transformers model, the Transformer, says of its texts.

Source: sentence-transformers 6.2, base/modules/transformer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpusvec.transforms.storage.json_files import no_others, read_json, setting, whole_number

# The first of these that is there and says anything counts; others of such names are not read.
_NAMES = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")

# How transformers is called, which changes no vector beyond rounding. Code of the model's own is
# never run.
_MODEL_ARGUMENTS = (
    "add_pooling_layer",
    "attn_implementation",
    "device_map",
    "dtype",
    "low_cpu_mem_usage",
    "torch_dtype",
    "trust_remote_code",
    "use_safetensors",
)
# `processing_kwargs` of texts, with the values that change no vector; `max_length` is applied.
_CALL: Mapping[str, tuple[Any, ...]] = {
    "add_special_tokens": (True,),
    "padding": (True, "longest", "max_length"),
    "padding_side": ("right",),
    "truncation": (True, "longest_first", "only_first"),
    "return_tensors": ("pt", "np"),
    "return_attention_mask": (True,),
    "return_token_type_ids": (True,),
    "stride": (0,),
}
_ANY_VALUE = ("pad_to_multiple_of", "verbose", "logits_to_keep")


@dataclass(frozen=True, slots=True)
class TransformerSettings:
    """`file` is None where there is none. `max_seq_length` counts special tokens; `limit_key` is
    the setting that says it. With `lowercase`, texts are lower-cased before the tokenizer sees
    them. `dtype` is what the original would compute in, None where that is for the model to say.
    """

    file: Path | None = None
    max_seq_length: int | None = None
    limit_key: str = ""
    lowercase: bool = False
    dtype: str | None = None


def read(folder: Path) -> TransformerSettings:
    """Raises `ValueError` where a setting is not implemented."""
    files = [folder / f"sentence_{name}_config.json" for name in _NAMES]
    for file in files:
        if file.is_file() and (values := read_json(file)):
            return _settings(values, file)
    return TransformerSettings()


def _settings(values: dict[str, Any], file: Path) -> TransformerSettings:
    # Lengths of queries and documents act on `encode_query` and `encode_document` alone.
    without_effect = ("unpad_inputs", "query_length", "document_length", "query_expansion")
    arguments = {
        new: _object(values, old if old in values else new, file)
        for new, old in (
            ("model_kwargs", "model_args"),
            ("processor_kwargs", "tokenizer_args"),
            ("config_kwargs", "config_args"),
        )
    }
    known = ("max_seq_length", "do_lower_case", "transformer_task", "modality_config")
    more = ("module_output_name", "processing_kwargs", "tokenizer_name_or_path", *without_effect)
    old = ("model_args", "tokenizer_args", "config_args")
    no_others(values, (*known, *more, *arguments, *old), file)
    _only(values, "transformer_task", ("feature-extraction",), file)
    _only(values, "module_output_name", ("token_embeddings",), file)
    _only(values, "tokenizer_name_or_path", (), file)
    _check_modalities(_object(values, "modality_config", file), file)
    _check_model_arguments(arguments["model_kwargs"], file)
    no_others(arguments["config_kwargs"], ("trust_remote_code", "use_cache"), file)
    of_tokenizer = arguments["processor_kwargs"]
    no_others(of_tokenizer, ("model_max_length", "trust_remote_code", "use_fast"), file)
    # The nearer to the call, the stronger.
    lengths = (
        (_call(_object(values, "processing_kwargs", file), file), "max_length"),
        (of_tokenizer, "model_max_length"),
        (values, "max_seq_length"),
    )
    limit = next((found for found in lengths if found[0].get(found[1]) is not None), None)
    if "model_max_length" in of_tokenizer:
        whole_number(of_tokenizer, "model_max_length", file)
    dtype = arguments["model_kwargs"].get("dtype") or arguments["model_kwargs"].get("torch_dtype")
    return TransformerSettings(
        file=file,
        max_seq_length=limit and whole_number(*limit, file),
        limit_key=limit[1] if limit else "",
        lowercase=bool(setting(values, "do_lower_case", bool, file)),
        dtype=None if dtype == "auto" else dtype,
    )


def _check_model_arguments(arguments: Mapping[str, Any], file: Path) -> None:
    no_others(arguments, _MODEL_ARGUMENTS, file)
    if arguments.get("use_safetensors") is False:
        raise ValueError(
            f"{file}: model_kwargs: use_safetensors is false; corpusvec reads safetensors where"
            " there are any, whose weights may be others than those of pytorch_model.bin"
        )


def _object(values: Mapping[str, Any], key: str, file: Path) -> dict[str, Any]:
    return setting(values, key, dict, file) or {}


def _only(values: Mapping[str, Any], key: str, implemented: tuple[str, ...], file: Path) -> None:
    if (value := values.get(key)) is not None and value not in implemented:
        only = f"; only {', '.join(implemented)} is implemented" if implemented else ""
        raise ValueError(f"{file}: {key} is {value!r}{only or ', which is not implemented'}")


def _check_modalities(modalities: Mapping[str, Any], file: Path) -> None:
    """Other modalities than text do not matter to texts, but messages take their place."""
    expected = {"method": "forward", "method_output_name": "last_hidden_state"}
    for name, how in modalities.items():
        if name == "message" or (name == "text" and how != expected):
            raise ValueError(
                f"{file}: modality_config: {name} is {how!r}; implemented is text by {expected}"
            )
    if modalities and "text" not in modalities:
        raise ValueError(f"{file}: modality_config has no text; the model does not take any")


def _call(processing: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """How the tokenizer is called for a text."""
    no_others(processing, ("common", "text", "audio", "image", "video", "chat_template"), file)
    call = _object(processing, "text", file) | _object(processing, "common", file)
    no_others(call, ("max_length", *_CALL, *_ANY_VALUE), file)
    for key, allowed in _CALL.items():
        if key in call and call[key] not in allowed:
            raise ValueError(
                f"{file}: processing_kwargs: {key} is {call[key]!r}; only"
                f" {' or '.join(map(repr, allowed))} is implemented"
            )
    return call
