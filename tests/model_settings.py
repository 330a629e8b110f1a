"""Settings of a sentence-transformers folder, one edit each, and what becomes of them.

`python -m tests.model_settings [FILE]` writes what sentence-transformers itself makes of each edit,
into `golden/model_settings.npz` if no other file is named. It needs an environment with
sentence-transformers and sentencepiece; the golden file is by sentence-transformers 6.2.0 with
transformers 5.23.0.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.models import TEXTS, hugging_face_folder

GOLDEN = Path(__file__).parent / "golden" / "model_settings.npz"
LINES = (*TEXTS[:8], " ".join(TEXTS), "red " * 100)
_NEW = "sentence_transformers.sentence_transformer.modules"
_BASE = "sentence_transformers.base.modules"
Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """`edit` of the base folder, and `prompt`, the name of one of the model's prompts. `refusal` is
    a pattern of what refuses the folder, `note` one of a note on the model.
    """

    edit: Edit
    prompt: str | None = None
    refusal: str | None = None
    note: str | None = None


def base(place: Path) -> Path:
    """A model with every kind of module that is implemented, the same at each call."""
    return hugging_face_folder(
        place,
        modules=("pooling", "dense", "normalize"),
        prompts={"query": "water: ", "document": ""},
        positions=64,
    )


def says(name: str, **values: Any) -> Edit:
    """A JSON object with other values; a file that is not there begins empty."""

    def edit(folder: Path) -> None:
        file = folder / name
        old = json.loads(file.read_text("utf-8")) if file.exists() else {}
        file.write_text(json.dumps({**old, **values}), "utf-8")

    return edit


def only(name: str, **values: Any) -> Edit:
    """A JSON object of these values alone."""
    return lambda folder: (folder / name).write_text(json.dumps(values), "utf-8") and None


def modules(change: Callable[[list[dict[str, Any]]], Any]) -> Edit:
    """Another `modules.json`."""

    def edit(folder: Path) -> None:
        listed = json.loads((folder / "modules.json").read_text("utf-8"))
        change(listed)
        (folder / "modules.json").write_text(json.dumps(listed), "utf-8")

    return edit


def classes(*names: str) -> Edit:
    def change(listed: list[dict[str, Any]]) -> None:
        for module, name in zip(listed, names):
            module["type"] = name

    return modules(change)


def tensors(name: str, **arrays: Any) -> Edit:
    """Other arrays in a safetensors file, `__` in their names for dots; None takes one out."""

    def edit(folder: Path) -> None:
        there: dict[str, Any] = load_file(folder / name)
        for key, value in arrays.items():
            key = key.replace("__", ".")
            there[key] = value(there[key]) if callable(value) else value
        there = {k: np.ascontiguousarray(v) for k, v in there.items() if v is not None}
        save_file(there, folder / name, metadata={"format": "pt"})

    return edit


def both(*edits: Edit) -> Edit:
    def edit(folder: Path) -> None:
        for one in edits:
            one(folder)

    return edit


def moved(old: str, new: str) -> Edit:
    return lambda folder: (folder / old).rename(folder / new) and None


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.3, shape).astype(np.float32)


def _square(folder: Path) -> None:
    """A dense layer from 16 to 16 dimensions, whose input is added as it is."""
    says("2_Dense/config.json", out_features=16, use_residual=True)(folder)
    tensors("2_Dense/model.safetensors", linear__weight=_noise(16, 16), linear__bias=_noise(16))(
        folder
    )


def _in_two_shards(folder: Path, change: float = 1.0) -> None:
    """The weights, times `change`, in two files with an index."""
    arrays = load_file(folder / "model.safetensors")
    where = {}
    for n, part in enumerate((sorted(arrays)[::2], sorted(arrays)[1::2]), start=1):
        name = f"model-{n:05}-of-00002.safetensors"
        where |= dict.fromkeys(part, name)
        kept = {key: arrays[key] * np.float32(change) for key in part}
        save_file(kept, folder / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def _shards_alone(folder: Path) -> None:
    _in_two_shards(folder)
    (folder / "model.safetensors").unlink()


def _dropout(listed: list[dict[str, Any]]) -> None:
    kind = f"{_NEW}.dropout.Dropout"
    listed.insert(2, {"idx": 9, "name": "drop", "path": "9_Dropout", "type": kind})


def _layer_norm(width: int) -> Edit:
    """A layer norm behind the dense layer, in place of the normalization."""

    def listed(found: list[dict[str, Any]]) -> None:
        kind = f"{_NEW}.layer_norm.LayerNorm"
        found[3:] = [{"idx": 9, "name": "norm", "path": "9_LayerNorm", "type": kind}]

    def edit(folder: Path) -> None:
        place = folder / "9_LayerNorm"
        place.mkdir()
        arrays = {"norm.weight": 1 + _noise(width), "norm.bias": _noise(width)[::-1].copy()}
        save_file(arrays, place / "model.safetensors", metadata={"format": "pt"})
        says("9_LayerNorm/config.json", dimension=width)(folder)

    return both(modules(listed), edit)


def _swapped(listed: list[dict[str, Any]]) -> None:
    """Dense after Normalize, by the order in the file; `idx` says otherwise."""
    listed[2], listed[3] = listed[3], listed[2]


_POOLING, _ABOUT = "1_Pooling/config.json", "config_sentence_transformers.json"
_TEXT, _DENSE = "sentence_bert_config.json", "2_Dense/config.json"
_WEIGHTS = "model.safetensors"
_LIBRARY = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
_KERNEL = "encoder__layer__0__intermediate__dense__weight"


def _without_prompt(mode: str) -> Case:
    return Case(says(_POOLING, include_prompt=False, pooling_mode=mode), prompt="query")


def _padded_with(number: int) -> Edit:
    """As an XLM-R, which counts positions from its padding's number."""
    config = says("config.json", model_type="xlm-roberta", pad_token_id=number)
    return both(config, says(_TEXT, max_seq_length=40))


def _refused(edit: Edit, file: str, key: str) -> Case:
    return Case(edit, refusal=rf"{file}: .*{key}")


APPLIED: dict[str, Case] = {
    "as it is": Case(lambda folder: None),
    "a prompt": Case(lambda folder: None, prompt="query"),
    "newest class names": Case(
        classes(
            f"{_BASE}.transformer.Transformer",
            f"{_NEW}.pooling.Pooling",
            f"{_BASE}.dense.Dense",
            f"{_BASE}.normalize.Normalize",
        )
    ),
    "class names by their packages": Case(
        classes(f"{_BASE}.Transformer", f"{_NEW}.Pooling", f"{_NEW}.Dense", f"{_NEW}.Normalize")
    ),
    "modules run in the order of the file": Case(modules(_swapped)),
    "dropout": Case(both(lambda f: (f / "9_Dropout").mkdir(), modules(_dropout))),
    "a layer norm": Case(_layer_norm(8)),
    "poolings in the order of the names": Case(
        both(
            only(_POOLING, embedding_dimension=16, pooling_mode=["mean", "cls"]),
            says(_DENSE, in_features=32),
            tensors("2_Dense/model.safetensors", linear__weight=_noise(8, 32)),
        )
    ),
    "a pooling twice": Case(
        both(
            only(_POOLING, embedding_dimension=16, pooling_mode=["max", "max"]),
            says(_DENSE, in_features=32),
            tensors("2_Dense/model.safetensors", linear__weight=_noise(8, 32)),
        )
    ),
    "one switch of the older kind alone": Case(
        only(_POOLING, word_embedding_dimension=16, pooling_mode_cls_token=True)
    ),
    "no switch is on": Case(
        only(_POOLING, word_embedding_dimension=16, pooling_mode_mean_tokens=False)
    ),
    "no pooling is named": Case(only(_POOLING, embedding_dimension=16)),
    "the newer name counts": Case(
        only(
            _POOLING, embedding_dimension=16, pooling_mode="lasttoken", pooling_mode_cls_token=True
        )
    ),
    "mean without the prompt": _without_prompt("mean"),
    "cls without the prompt": _without_prompt("cls"),
    "max without the prompt": _without_prompt("max"),
    "weighted mean without the prompt": _without_prompt("weightedmean"),
    "last token without the prompt": _without_prompt("lasttoken"),
    "mean_sqrt without the prompt": _without_prompt("mean_sqrt_len_tokens"),
    "residual of another width": Case(
        both(
            says(_DENSE, use_residual=True),
            tensors("2_Dense/model.safetensors", residual__weight=_noise(8, 16)),
        )
    ),
    "residual of the same width": Case(_square),
    "no bias": Case(
        both(says(_DENSE, bias=False), tensors("2_Dense/model.safetensors", linear__bias=None))
    ),
    "activation by its short name": Case(says(_DENSE, activation_function="torch.nn.ReLU")),
    "no activation said": Case(only(_DENSE, in_features=16, out_features=8)),
    "names of dense inputs": Case(
        says(_DENSE, module_input_name="sentence_embedding", module_output_name=None)
    ),
    "names of normalized inputs": Case(
        both(
            lambda f: (f / "3_Normalize").mkdir(exist_ok=True),
            only("3_Normalize/config.json", module_input_name="sentence_embedding"),
        )
    ),
    "truncate_dim": Case(says(_ABOUT, truncate_dim=3)),
    "truncate_dim of more than there are": Case(says(_ABOUT, truncate_dim=100)),
    "max_seq_length": Case(says(_TEXT, max_seq_length=12)),
    "no length is said": Case(only(_TEXT, do_lower_case=False)),
    "length of the call": Case(says(_TEXT, processing_kwargs={"text": {"max_length": 12}})),
    "length of every call": Case(says(_TEXT, processing_kwargs={"common": {"max_length": 12}})),
    "length of the call counts before others": Case(
        says(_TEXT, max_seq_length=8, processing_kwargs={"text": {"max_length": 20}})
    ),
    "length of the tokenizer": Case(
        says(_TEXT, max_seq_length=30, tokenizer_args={"model_max_length": 12})
    ),
    "length by a newer name": Case(says(_TEXT, processor_kwargs={"model_max_length": 12})),
    "lower case is among the tokenizer's rules": Case(
        both(
            says(_TEXT, do_lower_case=True),
            says("tokenizer_config.json", **_LIBRARY),
            says(
                "tokenizer.json",
                normalizer={
                    "type": "Sequence",
                    "normalizers": [
                        {"type": "Replace", "pattern": {"String": "T"}, "content": "rain"},
                        {"type": "Lowercase"},
                    ],
                },
            ),
        )
    ),
    "length in tokenizer_config.json": Case(
        both(only(_TEXT, do_lower_case=False), says("tokenizer_config.json", model_max_length=12))
    ),
    "settings under an older name": Case(
        both(says(_TEXT, max_seq_length=12), moved(_TEXT, "sentence_distilbert_config.json"))
    ),
    "an empty file of settings": Case(
        both(only(_TEXT), only("sentence_roberta_config.json", max_seq_length=12))
    ),
    "settings of a name that is not read": Case(
        both(says(_TEXT, max_seq_length=12), moved(_TEXT, "sentence_mpnet_config.json"))
    ),
    "new settings of the transformer": Case(
        says(
            _TEXT,
            transformer_task="feature-extraction",
            modality_config={
                "text": {"method": "forward", "method_output_name": "last_hidden_state"}
            },
            module_output_name="token_embeddings",
            unpad_inputs=False,
            query_length=8,
            document_length=8,
        )
    ),
    "arguments that change nothing": Case(
        says(_TEXT, model_args={"attn_implementation": "eager"}, config_args={"use_cache": False})
    ),
    "an older name takes the place of the newer": Case(
        says(_TEXT, tokenizer_args={}, processor_kwargs={"model_max_length": 12})
    ),
    "a null for the prompt's place": Case(says(_POOLING, include_prompt=None), prompt="query"),
    "padding of the call": Case(
        says(_TEXT, processing_kwargs={"text": {"padding": "max_length", "truncation": True}})
    ),
    "a null prompt": Case(says(_ABOUT, prompts={"query": None}), prompt="query"),
    "a default prompt": Case(says(_ABOUT, default_prompt_name="query")),
    "a default prompt that every model has": Case(
        only(_ABOUT, prompts={}, default_prompt_name="document")
    ),
    "what changes no vector": Case(
        says(
            _ABOUT,
            model_type="SentenceTransformer",
            similarity_fn_name="dot",
            __version__={"sentence_transformers": "2.2.0"},
        )
    ),
    "layer_norm_eps": Case(says("config.json", layer_norm_eps=0.01)),
    "no layer_norm_eps": Case(says("config.json", layer_norm_eps=1e-12)),
    "gelu_python": Case(says("config.json", hidden_act="gelu_python")),
    "gelu_fast": Case(says("config.json", hidden_act="gelu_fast")),
    "gelu_accurate": Case(says("config.json", hidden_act="gelu_accurate")),
    "gelu_new": Case(says("config.json", hidden_act="gelu_new")),
    "positions after another padding": Case(_padded_with(2)),
    "positions that leave out what is numbered as padding": Case(_padded_with(11)),
    "heads": Case(says("config.json", num_attention_heads=4)),
    "nothing pruned, nothing per layer": Case(says("config.json", pruned_heads={})),
    "a file of weights that is named": Case(
        both(
            lambda f: shutil.copy(f / _WEIGHTS, f / "other.safetensors") and None,
            tensors("other.safetensors", **{_KERNEL: lambda value: value * 2}),
            says("config.json", transformers_weights="other.safetensors"),
        )
    ),
    "a single file counts before shards": Case(lambda folder: _in_two_shards(folder, 2.0)),
    "shards": Case(_shards_alone),
    "a setting that nobody knows": Case(
        says("config.json", rotary_base=5), note="config.json: .*rotary_base"
    ),
    "another architecture's name": Case(
        says("config.json", architectures=["MyOwnBert"]), note="architectures names MyOwnBert"
    ),
    "code for another task": Case(
        says("config.json", auto_map={"AutoModelForMaskedLM": "modeling.MyBert"})
    ),
}


REFUSED: dict[str, Case] = {
    "a class of the model's own": _refused(
        classes("my_transformer.Transformer"), "modules.json", "my_transformer.Transformer"
    ),
    "a pooling of the model's own": _refused(
        classes(f"{_BASE}.Transformer", "my_pooling.Pooling"), "modules.json", "my_pooling.Pooling"
    ),
    "a namesake of another library": _refused(
        classes(f"{_BASE}.Transformer", "pylate.models.Pooling"), "modules.json", "pylate"
    ),
    "a module that is not implemented": _refused(
        classes(f"{_BASE}.Transformer", f"{_NEW}.Pooling", f"{_NEW}.WordWeights"),
        "modules.json",
        "WordWeights",
    ),
    "a layer norm of dense settings": _refused(
        classes(f"{_BASE}.Transformer", f"{_NEW}.Pooling", f"{_NEW}.LayerNorm"),
        _DENSE,
        "not the configuration of a LayerNorm",
    ),
    "a layer norm of another width": _refused(_layer_norm(9), "9_LayerNorm", "for 9 dimensions"),
    "a setting of a layer norm": _refused(
        both(_layer_norm(8), says("9_LayerNorm/config.json", eps=1.0)),
        "9_LayerNorm/config.json",
        "eps",
    ),
    "a setting of a module's entry": _refused(
        modules(lambda listed: listed[1].update(weight=2)), "modules.json", "weight"
    ),
    "a folder elsewhere": _refused(
        modules(lambda listed: listed[1].update(path="../1_Pooling")), "modules.json", "1_Pooling"
    ),
    "two modules of one name": _refused(
        modules(lambda listed: listed[3].update(name="2")), "modules.json", "same name"
    ),
    "no list of modules": _refused(
        lambda folder: (folder / "modules.json").unlink(), _ABOUT, "no modules.json"
    ),
    "a setting of Pooling": _refused(says(_POOLING, temperature=2), _POOLING, "temperature"),
    "a pooling mode": _refused(says(_POOLING, pooling_mode="median"), _POOLING, "median"),
    "a switch for a pooling mode": _refused(
        says(_POOLING, pooling_mode_median_tokens=True), _POOLING, "median"
    ),
    "a setting of Dense": _refused(says(_DENSE, scale=2), _DENSE, "scale"),
    "an activation of the model's own": _refused(
        says(_DENSE, activation_function="my_activations.Tanh"), _DENSE, "my_activations.Tanh"
    ),
    "no activation": _refused(says(_DENSE, activation_function=None), _DENSE, "None"),
    "a dense layer of tokens": _refused(
        says(_DENSE, module_input_name="token_embeddings"), _DENSE, "module_input_name"
    ),
    "a dense layer to another place": _refused(
        says(_DENSE, module_output_name="other"), _DENSE, "module_output_name"
    ),
    "an array that Dense does not name": _refused(
        tensors("2_Dense/model.safetensors", residual__weight=_noise(8, 16)),
        "2_Dense/model.safetensors",
        "residual.weight",
    ),
    "a residual that is not there": _refused(
        says(_DENSE, use_residual=True), "2_Dense/model.safetensors", "residual.weight"
    ),
    "integers in Dense": _refused(
        tensors("2_Dense/model.safetensors", linear__weight=np.ones((8, 16), np.int8)),
        "2_Dense/model.safetensors",
        "type I8",
    ),
    "normalization of tokens": _refused(
        both(
            lambda f: (f / "3_Normalize").mkdir(exist_ok=True),
            only("3_Normalize/config.json", module_input_name="token_embeddings"),
        ),
        "3_Normalize/config.json",
        "module_input_name",
    ),
    "a setting of Normalize": _refused(
        both(
            lambda f: (f / "3_Normalize").mkdir(exist_ok=True),
            only("3_Normalize/config.json", p=1),
        ),
        "3_Normalize/config.json",
        "p is 1",
    ),
    "a setting of the transformer": _refused(says(_TEXT, stride=4), _TEXT, "stride"),
    "another task": _refused(says(_TEXT, transformer_task="fill-mask"), _TEXT, "fill-mask"),
    "another tokenizer": _refused(
        says(_TEXT, tokenizer_name_or_path="other"), _TEXT, "tokenizer_name_or_path"
    ),
    "another output": _refused(
        says(
            _TEXT,
            modality_config={"text": {"method": "forward", "method_output_name": "pooler_output"}},
            module_output_name="sentence_embedding",
        ),
        _TEXT,
        "sentence_embedding",
    ),
    "messages": _refused(
        says(
            _TEXT,
            modality_config={
                name: {"method": "forward", "method_output_name": "last_hidden_state"}
                for name in ("text", "message")
            },
            module_output_name="token_embeddings",
        ),
        _TEXT,
        "message",
    ),
    "no special tokens": _refused(
        says(_TEXT, processing_kwargs={"text": {"add_special_tokens": False}}),
        _TEXT,
        "add_special_tokens",
    ),
    "weights of another kind of file": _refused(
        says(_TEXT, model_kwargs={"use_safetensors": False}), _TEXT, "use_safetensors"
    ),
    "truncation is null": _refused(
        says(_TEXT, max_seq_length=12, processing_kwargs={"text": {"truncation": None}}),
        _TEXT,
        "truncation",
    ),
    "a length is null": _refused(
        says(_TEXT, max_seq_length=12, tokenizer_args={"model_max_length": None}),
        _TEXT,
        "model_max_length",
    ),
    "a length that has no room for a text": _refused(
        says(_TEXT, max_seq_length=2), _TEXT, "max_seq_length is 2, and special tokens alone take 3"
    ),
    "such a length by another name": _refused(
        says(_TEXT, tokenizer_args={"model_max_length": 3}), _TEXT, "model_max_length is 3"
    ),
    "no truncation": _refused(
        says(_TEXT, processing_kwargs={"text": {"truncation": False}}), _TEXT, "truncation"
    ),
    "an argument of the call": _refused(
        says(_TEXT, processing_kwargs={"text": {"is_split_into_words": True}}),
        _TEXT,
        "is_split_into_words",
    ),
    "an argument of the tokenizer": _refused(
        says(_TEXT, tokenizer_args={"truncation_side": "left"}), _TEXT, "truncation_side"
    ),
    "an argument of the configuration": _refused(
        says(_TEXT, config_args={"hidden_act": "relu"}), _TEXT, "hidden_act"
    ),
    "an argument of the model": _refused(
        says(_TEXT, model_args={"subfolder": "x"}), _TEXT, "subfolder"
    ),
    "a setting beside the prompts": _refused(says(_ABOUT, scale=2), _ABOUT, "scale"),
    "another kind of model": _refused(
        says(_ABOUT, model_type="SparseEncoder"), _ABOUT, "SparseEncoder"
    ),
    "truncate_dim is a text": _refused(says(_ABOUT, truncate_dim="8"), _ABOUT, "truncate_dim"),
    "quantized": _refused(
        says("config.json", quantization_config={"quant_method": "gptq"}),
        "config.json",
        "quantization_config",
    ),
    "compressed": _refused(
        says("config.json", compression_config={"format": "x"}), "config.json", "compression_config"
    ),
    "integers for weights": _refused(
        tensors(_WEIGHTS, **{_KERNEL: lambda value: np.ones(value.shape, np.int8)}),
        _WEIGHTS,
        "type I8",
    ),
    "unsigned integers for weights": _refused(
        tensors(_WEIGHTS, **{_KERNEL: lambda value: np.ones(value.shape, np.uint8)}),
        _WEIGHTS,
        "type U8",
    ),
    "a weight under two names": _refused(
        tensors(_WEIGHTS, **{f"bert__{_KERNEL}": _noise(64, 16)}), _WEIGHTS, "same weight"
    ),
    "adapters": _refused(
        only("adapter_config.json", peft_type="LORA"), "adapter_config.json", "adapters"
    ),
    "adapters in the configuration": _refused(
        says("config.json", adapters={"adapters": {"a": 1}}), "config.json", "adapters"
    ),
    "pruned heads": _refused(
        says("config.json", pruned_heads={"0": [1]}), "config.json", "pruned_heads"
    ),
    "settings per layer": _refused(
        says("config.json", per_layer_config={"0": {"hidden_act": "relu"}}),
        "config.json",
        "per_layer_config",
    ),
    "no name for the token behind a prompt": _refused(
        both(says(_POOLING, include_prompt=False), says("tokenizer_config.json", **_LIBRARY)),
        "tokenizer_config.json",
        "sep_token",
    ),
    "code of the model's own": _refused(
        says("config.json", auto_map={"AutoModel": "modeling.MyBert"}), "config.json", "auto_map"
    ),
    "an encoder and a decoder": _refused(
        says("config.json", is_encoder_decoder=True), "config.json", "is_encoder_decoder"
    ),
    "weights elsewhere": _refused(
        says("config.json", transformers_weights="../model.safetensors"),
        "config.json",
        "transformers_weights",
    ),
    "weights of another form": _refused(
        says("config.json", transformers_weights="adapter_model.bin"),
        "config.json",
        "transformers_weights",
    ),
}


def main(target: str | Path = GOLDEN) -> None:
    """Write the vectors of sentence-transformers."""
    import tempfile

    from sentence_transformers import SentenceTransformer

    vectors = {}
    for name, case in APPLIED.items():
        with tempfile.TemporaryDirectory() as place:
            folder = base(Path(place) / "model")
            case.edit(folder)
            model = SentenceTransformer(str(folder), device="cpu")
            vectors[name] = model.encode(list(LINES), prompt_name=case.prompt)
    np.savez_compressed(target, **vectors)


if __name__ == "__main__":
    main(*sys.argv[1:])
