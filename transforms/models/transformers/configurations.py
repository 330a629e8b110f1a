"""`config.json` of a Hugging Face BERT: every setting is applied, or known to change no vector, or
refused; one that corpusvec does not know is a note.

Source: transformers 5.23, configuration_utils.py and models/bert; and 4.57, which reads settings
that 5 does not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from corpusvec.transforms.models.transformers.folders import bert_config
from corpusvec.transforms.specs import BertConfig
from corpusvec.transforms.storage.json_files import setting, whole_number

_ARCHITECTURES = ("bert", "xlm-roberta")  # the latter counts positions from its padding id + 1
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
_APPLIED = (
    *_DEFAULTS,
    "hidden_act",
    "model_type",
    "pad_token_id",
    "tokenizer_class",
    "transformers_weights",
)
# What changes vectors and is not implemented, with the values that change none.
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "adapters": ({},),
    "compression_config": (),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "per_layer_config": ({},),
    "position_embedding_type": ("absolute",),
    "pruned_heads": ({},),
    "quantization": (),
    "quantization_config": (),
}
# Training, heads for other tasks, generation, how the file came to be, how it is computed.
_OTHERS = """
    add_cross_attention architectures attention_probs_dropout_prob attn_implementation auto_map
    bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward classifier_dropout
    cross_attention_hidden_size decoder_start_token_id directionality diversity_penalty do_sample
    dtype early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty
    finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing
    hidden_dropout_prob id2label initializer_factor initializer_range label2id language
    length_penalty max_length min_length model_max_length name_or_path no_repeat_ngram_size
    num_beam_groups num_beams num_labels num_return_sequences output_attentions
    output_hidden_states output_past output_scores pooler_fc_size pooler_num_attention_heads
    pooler_num_fc_layers pooler_size_per_head pooler_type prefix problem_type
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id
    suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder
    tie_last_hidden_states tie_word_embeddings top_k top_p torch_dtype torchscript
    transformers.js_config transformers_version typical_p use_bfloat16 use_cache
"""
_HALF = {"F16": "float16", "BF16": "bfloat16"}
_OF_BERTS = re.compile(r"(Bert|XLMRoberta|Roberta)(Model|LMHeadModel|For[A-Z]\w+)")


def read(values: Mapping[str, Any], file: Path) -> tuple[BertConfig, tuple[str, ...]]:
    """The shape of the model, and notes on settings that corpusvec does not know.

    Raises `ValueError` where a setting is not implemented.
    """
    architecture = values.get("model_type")
    if architecture not in _ARCHITECTURES:
        raise ValueError(
            f"{file}: model_type is {architecture!r}; corpusvec runs {' and '.join(_ARCHITECTURES)}"
        )
    for key, allowed in _REFUSED.items():
        if (value := values.get(key)) is not None and value not in allowed:
            raise ValueError(f"{file}: {key} is {_shortened(value)}; {_reason(key, allowed)}")
    _check_code(values, file)
    first = 0
    if architecture == "xlm-roberta":
        first = whole_number({"pad_token_id": 1, **values}, "pad_token_id", file, least=0) + 1
    values = {**_DEFAULTS, **values}
    epsilon = values["layer_norm_eps"]
    if not isinstance(epsilon, float | int) or not 0 <= epsilon < 1:
        raise ValueError(f"{file}: layer_norm_eps must be a small number, got {epsilon!r}")
    more = {"layer_norm_eps": epsilon, "first_position": first}
    return bert_config(values, file, _ACTIVATIONS, **more), _notes(values, file)


def type_note(
    values: Mapping[str, Any], types: Collection[str], asked: str | None
) -> tuple[str, ...]:
    """A note where transformers computes in half precision: where it is `asked` to, or the
    configuration says so, or neither says anything and the weights, which are of these types, are
    so.
    """
    said = asked or values.get("dtype") or values.get("torch_dtype")
    found = {str(said)} if said else {_HALF[kind] for kind in types if kind in _HALF}
    return tuple(
        f"transformers computes this model in {name}, which rounds more; here it is computed in"
        " float32, or as --precision says"
        for name in sorted(found & set(_HALF.values()))
    )


def refuse_adapters(folder: Path) -> None:
    """Raises `ValueError` where adapters lie beside a model: transformers would load them too."""
    if (file := folder / "adapter_config.json").exists():
        raise ValueError(
            f"{file}: the model has adapters, which are not implemented; merge them into its"
            " weights (merge_and_unload of the peft library) and save it again"
        )


def _reason(key: str, allowed: tuple[Any, ...]) -> str:
    if "quantization" in key or "compression" in key:
        return "quantized weights are not read; use the model that they were made from"
    if allowed and isinstance(allowed[0], str):
        return f"only {allowed[0]} is implemented"
    return "that is not implemented"


def _check_code(values: Mapping[str, Any], file: Path) -> None:
    """Raises `ValueError` where the model is computed by code of its own."""
    own = setting(values, "auto_map", dict, file) or {}
    for name in ("AutoModel", "AutoConfig"):
        if name in own:
            raise ValueError(
                f"{file}: auto_map names code of the model's own ({own[name]}), which is never run;"
                " it may compute other vectors than a BERT"
            )


def _notes(values: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    known = {*_APPLIED, *_REFUSED, *_OTHERS.split()}
    unknown = sorted(key for key in values if key not in known and not key.startswith("_"))
    notes = [
        f"{file.name}: corpusvec does not know the setting {key} ({_shortened(values[key])}); if it"
        " changes vectors, these lack that change"
        for key in unknown
    ]
    named = setting(values, "architectures", list, file) or []
    notes += [
        f"{file.name}: architectures names {name}, which is computed as a BERT"
        for name in map(str, named)
        if not _OF_BERTS.fullmatch(name)
    ]
    return tuple(notes)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
