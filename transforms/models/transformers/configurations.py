"""`config.json` of a Hugging Face model: every setting is applied, or known to change no vector, or
refused; one that corpusvec does not know is a note.

Source: transformers 5.23, configuration_utils.py and the models of the families; and 4.57, which
reads settings that 5 does not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from corpusvec.transforms.architectures import Transformer
from corpusvec.transforms.models.transformers.families.family import Family
from corpusvec.transforms.models.transformers.families.settings import Settings, shortened
from corpusvec.transforms.models.transformers.families.table import FAMILIES
from corpusvec.transforms.storage.json_files import setting

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
# Training, heads for other tasks, generation, how the file came to be, how it is computed; and what
# other readers apply.
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
    model_type pad_token_id tokenizer_class transformers.js_config transformers_version
    transformers_weights typical_p use_bfloat16 use_cache
"""
_HALF = {"F16": "float16", "BF16": "bfloat16"}
_ENDS = r"(Model|LMHeadModel|EncoderModel|For[A-Z]\w+)"


def read(values: Mapping[str, Any], file: Path) -> tuple[Transformer, tuple[str, ...]]:
    """What the model is made of, and notes on settings that corpusvec does not know.

    Raises `ValueError` where a setting is not implemented.
    """
    kind = values.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if kind is None or family is None:
        raise ValueError(f"{file}: model_type is {kind!r}; corpusvec runs {', '.join(FAMILIES)}")
    settings = Settings(values, file)
    for key, allowed in _REFUSED.items():
        if (value := values.get(key)) is not None and value not in allowed + family.allowed(key):
            settings.refuse(key, _reason(key, allowed))
    code = _check_code(values, family, file)
    config = replace(family.read(settings), family=kind)
    known = {*settings.known, *_REFUSED, *_OTHERS.split(), *family.without_effect.split()}
    notes = (*settings.notes, *_length_notes(config, file), *_notes(values, known, family, file))
    return config, (*code, *notes)


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


def _check_code(values: Mapping[str, Any], family: Family, file: Path) -> tuple[str, ...]:
    """Raises `ValueError` where the model is computed by code of its own, unless that is the code
    of its family; then a note says so.
    """
    own = setting(values, "auto_map", dict, file) or {}
    kind, named = values["model_type"], ""
    for name in ("AutoModel", "AutoConfig"):
        if name not in own:
            continue
        if str(own[name]).rpartition(".")[2] not in family.code:
            raise ValueError(
                f"{file}: auto_map names code of the model's own ({own[name]}), which is never run;"
                f" it may compute other vectors than a {kind}"
            )
        named = str(own[name])
    if not named:
        return ()
    note = f"{file.name}: auto_map names code ({named}), which is not run: computed as a {kind}"
    return (note,)


def _length_notes(config: Transformer, file: Path) -> tuple[str, ...]:
    """A note where the rotary positions of a text depend on how long it is."""
    usual = {reach.rotary.usual_length for reach in config.reaches if reach.rotary}
    return tuple(
        f"{file.name}: with longrope the vectors of a text depend on whether it has more than"
        f" {length} tokens, in sentence-transformers on whether the longest text beside it has"
        for length in sorted(usual - {0})
    )


def _notes(
    values: Mapping[str, Any], known: Collection[str], family: Family, file: Path
) -> tuple[str, ...]:
    unknown = sorted(key for key in values if key not in known and not key.startswith("_"))
    notes = [
        f"{file.name}: corpusvec does not know the setting {key} ({shortened(values[key])}); if it"
        " changes vectors, these lack that change"
        for key in unknown
    ]
    named = setting(values, "architectures", list, file) or []
    classes = re.compile(f"({family.classes}){_ENDS}")
    notes += [
        f"{file.name}: architectures names {name}, which is computed as a {values['model_type']}"
        for name in map(str, named)
        if not classes.fullmatch(name)
    ]
    return tuple(notes)
