"""BERTs of our own as TF2 SavedModels that take raw strings and return sentence vectors.

Tokenizer, forward pass and pooling are all in the graph. Unlike `embed`, which cuts a long text
into windows, the model sees the first tokens of one alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from corpusvec.transforms.models.exports.berts import (
    Dropout,
    Forward,
    Variables,
    make_variables,
    save,
    trackable,
)
from corpusvec.transforms.models.exports.string_poolings import Column
from corpusvec.transforms.models.exports.string_tokenizers import GraphTokenizer, graph_tokenizer
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.transformers.forward import pooler
from corpusvec.transforms.specs import POOLER, ModelSpec, VectorColumn
from corpusvec.transforms.tokens.tokenizers import load_tokenizer

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class StringPlan:
    """What the model is to return, and of what. The first column is also called `default`."""

    columns: tuple[VectorColumn, ...]
    max_seq_length: int
    prompt: str = ""
    normalize: bool = False

    def check(self) -> None:
        """Raises `ValueError` where the graph could not do it."""
        for column in self.columns[1:]:
            if column.name == DEFAULT:
                raise ValueError(
                    f"--vectors: {DEFAULT} is what the first column is called too; put the column"
                    f" of that name first, or choose another name"
                )
        for column in self.columns:
            if self.prompt and (column.skip_prompt or "first" in column.pooling.split("+")):
                raise ValueError(
                    f"--strings: {column.name} would leave the model's prompt {self.prompt!r} out,"
                    " and a graph cannot tell it from the text; choose another with --vectors"
                )


def save_strings(spec: ModelSpec, plan: StringPlan, folder: Path) -> None:
    """Write a SavedModel: `__call__(texts [B])` -> [B, D], or a mapping where there are several
    columns; `serving_default` always gives a mapping. An empty text is [CLS] [SEP].

    Raises `ValueError` and `RuntimeError` as `graph_tokenizer` does.
    """
    plan.check()
    windows = _Windows.of(spec, plan)
    columns = {column.name: Column.of(column, plan.normalize) for column in plan.columns}
    count = max(_highest(column, spec) for column in plan.columns)
    variables = make_variables(spec, count, any(column.output for column in plan.columns))
    forward, arrays = Forward.of(spec), Variables(variables, Dropout())

    def vectors(texts):
        ids, counts = windows(texts)
        mask = tf.sequence_mask(counts, tf.shape(ids)[1])
        layers, rows = forward.layers(arrays, ids, mask, tf.zeros_like(ids), count)
        outputs = {POOLER: lambda: pooler(forward.config, arrays, rows, tf.shape(ids)[0])}
        found = {name: column(layers, counts, outputs) for name, column in columns.items()}
        return {DEFAULT: found[plan.columns[0].name]} | found

    def call(texts):
        found = vectors(texts)
        return found[DEFAULT] if len(columns) == 1 else found

    for column in columns.values():
        variables |= column.variables
    model = trackable(variables)
    model.tables = windows.tables
    texts = [tf.TensorSpec([None], tf.string, "texts")]
    model.__call__ = tf.function(call, input_signature=texts, autograph=False)
    serve = tf.function(vectors, input_signature=texts, autograph=False)
    save(spec, model, folder, serve)


def _highest(column: VectorColumn, spec: ModelSpec) -> int:
    return spec.layer_count if column.output else max(map(int, column.layers))


@dataclass(frozen=True, slots=True)
class _Windows:
    """Texts [B] -> ids [B, T], and how many of them each text has [B]."""

    tokenize: GraphTokenizer
    before: tuple[int, ...]
    after: tuple[int, ...]
    room: int
    prompt: str
    keep_end: bool

    @classmethod
    def of(cls, spec: ModelSpec, plan: StringPlan) -> _Windows:
        assert spec.tokenizer is not None
        ours = load_tokenizer(spec.tokenizer)
        tokenize = graph_tokenizer(spec.tokenizer)
        if ours.spelled(plan.prompt) != plan.prompt:
            raise ValueError(
                f"--strings: the model's prompt {plan.prompt!r} holds special tokens, which a graph"
                " does not find; export the model without --strings"
            )
        before, after = (tuple([token[1]] if token else []) for token in (ours.cls, ours.sep))
        room = plan.max_seq_length - spec.specials
        return cls(tokenize, before, after, room, plan.prompt, spec.tokenizer.keep_end)

    @property
    def tables(self) -> list:
        return self.tokenize.resources

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Bytes that are no text become U+FFFD, as wherever else texts are read leniently.
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        tokens = self.tokenize(self.prompt + texts if self.prompt else texts)
        tokens = tokens[:, -self.room :] if self.keep_end else tokens[:, : self.room]
        each = tf.ones_like(texts, tf.int32)[:, None]
        ids = tf.concat([each * self.before, tokens, each * self.after], axis=1)
        return ids.to_tensor(), tf.cast(ids.row_lengths(), tf.int32)
