"""Models that our own forward pass runs, as TF2 SavedModels with the BERT contract, for anyone to
run and to train.

The forward pass is that same one, with the weights in variables.
"""

from __future__ import annotations

import configparser
import string
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from corpusvec.transforms.architectures import Norm, Transformer
from corpusvec.transforms.models.exports import notes, repeatable
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.models.transformers import forward
from corpusvec.transforms.models.transformers.blocks import norms
from corpusvec.transforms.models.transformers.blocks.arrays import Arrays
from corpusvec.transforms.models.transformers.families.table import FAMILIES
from corpusvec.transforms.models.transformers.weights import WORDS
from corpusvec.transforms.specs import ModelSpec, TokenizerSpec
from corpusvec.transforms.storage.json_files import read_json
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

_INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


@dataclass(frozen=True, slots=True)
class Variables:
    """`blocks.arrays.Arrays` that can be trained, float32."""

    variables: Mapping[str, tf.Variable]
    dropout: Dropout
    dtype: tf.DType = tf.float32

    def __call__(self, name: str) -> tf.Tensor:
        return tf.convert_to_tensor(self.variables[name])

    def dense(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        # One product for all: once the variables are frozen, it is the encoder's own.
        product = tf.matmul(x, tf.concat([self(f"{name}/kernel") for name in names], axis=1))
        if f"{names[0]}/bias" not in self.variables:
            return product
        return tf.nn.bias_add(product, tf.concat([self(f"{name}/bias") for name in names], axis=0))

    def norm(self, x: tf.Tensor, name: str, norm: Norm) -> tf.Tensor:
        gamma = self(f"{name}/LayerNorm/gamma")
        if norm.rms:
            return norms.root_mean_square(x, gamma, norm.epsilon)
        beta = self(f"{name}/LayerNorm/beta") if norm.beta else None
        return norms.layer(x, gamma, beta, norm.epsilon)

    def once(self, made: Callable[[Arrays], tf.Tensor]) -> tf.Tensor:
        return made(self)

    def dropped(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.dropout(x, self.dropout.rows)

    def dropped_attention(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.dropout(x, self.dropout.attention)


@dataclass(frozen=True, slots=True)
class Forward:
    """The whole forward pass for ids, mask and types [B, T] int32."""

    config: Transformer
    segments: bool  # whether the model distinguishes the texts of a pair

    @classmethod
    def of(cls, spec: ModelSpec) -> Forward:
        assert spec.transformer is not None
        return cls(spec.transformer, spec.segments)

    def layers(
        self, arrays: Arrays, ids, mask, types, count: int
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Layers 0 to `count`, each [B, T, H], and the rows [B*T, H] of the last one."""
        config = self.config.lower(count)
        types = types if self.segments else tf.zeros_like(types)
        tokens = tf.cast(mask, tf.bool)
        x, around = forward.start(config, arrays, arrays(WORDS), ids, types, tokens)
        shape = tf.concat([tf.shape(ids), [config.hidden_size]], axis=0)
        kinds, found = forward.reaches(config), [tf.reshape(x, shape)]
        for number, reach in enumerate(config.reaches):
            x = forward.layer(config, number, arrays, x, around[kinds.index(reach)])
            found.append(tf.reshape(x, shape))
        return found, x


def make_variables(spec: ModelSpec, layers: int, pooler: bool) -> dict[str, tf.Variable]:
    """The weights up to a layer by our names; theirs are those of google-research/bert."""
    assert spec.transformer is not None
    lower = replace(spec, transformer=spec.transformer.lower(layers))
    arrays = KINDS[spec.kind].load_module().read_arrays(lower, pooler)
    return {name: tf.Variable(arrays[name], name=f"bert/{name}") for name in arrays}


def save_bert(spec: ModelSpec, folder: Path) -> None:
    """Write a SavedModel with the BERT contract: `__call__(inputs, training=False)`.

    Without a pooler there is no `pooled_output` and no `default`.
    """
    variables = make_variables(spec, spec.layer_count, spec.has_pooler)
    model_pass = Forward.of(spec)
    providers = {
        True: Variables(variables, read_dropout(spec)),
        False: Variables(variables, Dropout()),
    }

    def outputs(training, ids, mask, types):
        return _contract(spec, model_pass, providers[training], ids, mask, types)

    def call(inputs, training=False):
        return outputs(bool(training), *(inputs[name] for name in _INPUTS))

    model = trackable(variables)
    model.__call__ = tf.function(call, autograph=False)
    specs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in _INPUTS}
    for training in (True, False):
        model.__call__.get_concrete_function(specs, training=training)

    def serve(input_word_ids, input_mask, input_type_ids):
        found = outputs(False, input_word_ids, input_mask, input_type_ids)
        layers = found.pop("encoder_outputs")
        return found | {f"encoder_outputs/{i}": layer for i, layer in enumerate(layers)}

    signature = tf.function(serve, autograph=False, input_signature=list(specs.values()))
    save(spec, model, folder, signature)


def _contract(spec: ModelSpec, whole: Forward, arrays: Variables, ids, mask, types):
    """The outputs of the contract: `encoder_outputs` are layers 1 to L."""
    layers, rows = whole.layers(arrays, ids, mask, types, spec.layer_count)
    found = {"sequence_output": layers[-1], "encoder_outputs": layers[1:]}
    if spec.has_pooler:
        pooled = forward.pooler(whole.config, arrays, rows, tf.shape(ids)[0])
        found |= {"pooled_output": pooled, "default": pooled}
    return found


def trackable(variables: Mapping[str, tf.Variable]) -> tf.train.Checkpoint:
    """An object to save, with the attributes that hub.KerasLayer looks for."""
    model = tf.train.Checkpoint()
    model.variables = list(variables.values())
    model.trainable_variables = list(variables.values())
    model.regularization_losses = []
    return model


def save(spec: ModelSpec, model: tf.train.Checkpoint, folder: Path, serve) -> None:
    """Write a model with its vocabulary: `vocab_file` and `do_lower_case` are where models of TF
    Hub have them.
    """
    assert spec.tokenizer is not None
    lowercase = tf.Variable(lowers(spec.tokenizer), trainable=False, name="do_lower_case")
    model.do_lower_case = lowercase
    with tempfile.TemporaryDirectory() as place:
        for name, source in notes.files(spec).items():
            copyfile(source, Path(place, name))
        notes.dump(spec, Path(place, notes.NAME))
        names = [*notes.files(spec), notes.NAME]
        model.files = [tf.saved_model.Asset(str(Path(place, name))) for name in names]
        model.vocab_file = model.files[names.index("vocab.txt") if "vocab.txt" in names else 0]
        repeatable.save(model, folder, {"serving_default": serve})


def lowers(tokenizer: TokenizerSpec) -> bool:
    """Whether a tokenizer sees no difference between upper and lower case. Of some only the
    library knows.
    """
    if tokenizer.lowercase is not None:
        return tokenizer.lowercase or tokenizer.lowercase_first
    rows = [" ".join(letters) for letters in (string.ascii_lowercase, string.ascii_uppercase)]
    lower, upper = load_tokenizer(tokenizer).encode(rows, spans=False)
    return np.array_equal(lower.ids, upper.ids)


@dataclass(frozen=True, slots=True)
class Dropout:
    """Which share of the values training sets to zero: of rows, and of the attention's weights."""

    rows: float = 0.0
    attention: float = 0.0


def read_dropout(spec: ModelSpec) -> Dropout:
    """What the configuration beside the weights says; what is usual in the family, where it does
    not.
    """
    assert spec.transformer is not None
    family = FAMILIES[spec.transformer.family]
    file, values = _configuration(Path(spec.weights[0]).parent)
    return Dropout(
        *(_rate(values.get(key, family.usual_dropout), f"{file}: {key}") for key in family.dropout)
    )


def _configuration(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    for name in ("config.json", "bert_config.json"):
        if (folder / name).is_file():
            return folder / name, read_json(folder / name)
    parser = configparser.ConfigParser()
    parser.read(folder / "config.ini", encoding="utf-8")
    return folder / "config.ini", parser["BERT-CONFIG"]


def _rate(value: Any, where: str) -> float:
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = -1.0
    if not 0 <= rate < 1:
        raise ValueError(f"{where} must be a number ≥ 0 and < 1, got {value!r}")
    return rate
