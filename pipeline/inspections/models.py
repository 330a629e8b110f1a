"""What is inside a model, and how it would be run: the facts that `inspect` shows of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpusvec.pipeline.settings import poolings_for
from corpusvec.transforms.models.saved_models.choices import (
    adapter_of,
    given_by,
    undecided,
    width_of,
)
from corpusvec.transforms.models.saved_models.signatures import SavedModel
from corpusvec.transforms.models.sources.kinds import KINDS
from corpusvec.transforms.specs import (
    OUTPUT,
    POOLER,
    Layer,
    ModelSpec,
    Signature,
    Tensor,
    TokenizerSpec,
    VectorColumn,
)
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.tokens import Tokenizer
from corpusvec.transforms.vectors.dense_layers import width_after
from corpusvec.transforms.vectors.poolings import poolings_of

TRIAL = "The quick brown fox jumps over the lazy dog. 吾輩は猫である。"
# In place of a signature's own outputs, to tell whether its inputs are to blame.
_ANY_VECTORS = (
    Tensor("elmo", "float32", (None, None, 1)),
    Tensor("word_emb", "float32", (None, None, 1)),
    Tensor("default", "float32", (None, 1)),
)


def of_spec(spec: ModelSpec, place: str, model: SavedModel | None, embed: str) -> ModelReport:
    """A model that can be run; `model` is what its `saved_model.pb` says, where it has one."""
    library = load_tokenizer(spec.tokenizer) if spec.tokenizer else None  # may take a second
    tokenizer = _tokenizer(spec.tokenizer, library) if spec.tokenizer and library else None
    bytes_, files = size_of(spec.path if os.path.isdir(spec.path) else spec.weights[0])
    layers, outputs = _vectors(spec)
    return ModelReport(
        kind=spec.kind,
        form=form_of(spec.kind, model),
        place=place,
        path=os.path.abspath(spec.path),
        digest=spec.digest,
        bytes=bytes_,
        files=files,
        parameters=spec.parameters,
        takes=_takes(spec),
        layers=layers,
        layer_count=spec.layer_count or None,
        hidden_size=spec.hidden_size,
        outputs=outputs,
        poolings=poolings_for(spec),
        default_columns=tuple(_column(column, layers, outputs) for column in spec.default_columns),
        max_seq_length=spec.max_seq_length,
        longest=spec.longest,
        vocabulary_size=tokenizer.vocabulary_size if tokenizer else None,
        tokenizer=tokenizer,
        pairs=spec.pairs,
        prompts=dict(spec.prompts),
        default_prompt=spec.default_prompt,
        signature=spec.signature.name if spec.signature else None,
        signatures=of_signatures(model, spec.signature) if model else (),
        assets=model.assets if model else (),
        tags=model.tags if model else (),
        notes=spec.notes,
        trial=_trial(library) if library else None,
        embed=embed if spec.default_columns else None,
        problem=None if spec.default_columns else undecided(spec),
    )


def form_of(kind: str | None, model: SavedModel | None) -> str:
    """`TensorFlow 1 checkpoint`, `TF1 Hub module that takes words`: what a user would call it."""
    words = KINDS[kind].looks_for.partition(" (")[0] if kind else ""
    if model is None:
        return words.partition(" ")[2]
    form = "TF1 Hub module" if model.is_hub_module else "SavedModel"
    return f"{form} that{words.partition(' that')[2]}" if words else form


def size_of(path: str) -> tuple[int, int]:
    """Bytes and number of a model's files; of a checkpoint that is named by its prefix, all beside
    it but those of other checkpoints.
    """
    place = Path(path)
    if place.is_dir():
        files = [file for file in place.rglob("*") if file.is_file()]
        files = [f for f in files if not any(p[0] == "." for p in f.relative_to(place).parts)]
    else:
        files = [file for file in place.parent.glob("[!.]*") if file.is_file()]
        own = f"{place.name}."
        files = [file for file in files if file.name.startswith(own) or ".ckpt" not in file.name]
    return sum(file.stat().st_size for file in files), len(files)


def of_signatures(model: SavedModel, chosen: Signature | None) -> tuple[SignatureReport, ...]:
    """All functions, with the adapter of each, or why it has none."""
    return tuple(
        SignatureReport(
            signature.name,
            signature.training,
            signature.inputs,
            signature.outputs,
            adapter_of(signature),
            _why_not(signature),
            signature == chosen,
        )
        for signature in model.signatures
    )


def _why_not(signature: Signature) -> str | None:
    if adapter_of(signature):
        return None
    if signature.training:
        return "traced with training=True, where dropout makes vectors random"
    if not signature.inputs:
        return "takes nothing: it only tells something of the model"
    if adapter_of(replace(signature, outputs=_ANY_VECTORS)):
        return "gives no vectors: floats of rank 2 for texts, of rank 3 for tokens"
    return "takes neither strings, words nor token ids as corpusvec would give them"


def _takes(spec: ModelSpec) -> str:
    if spec.tokenizer is None:
        return "strings"
    return "words" if spec.tokenizer.kind == "words" else "token ids"


def _vectors(spec: ModelSpec) -> tuple[tuple[LayerReport, ...], tuple[OutputReport, ...]]:
    if spec.signature is not None:
        return vectors_given(spec.signature, spec.kind)
    layers = tuple(LayerReport(layer, "", spec.hidden_size) for layer in spec.layers)
    return layers, tuple(OutputReport(name, "", spec.hidden_size) for name in spec.outputs)


def vectors_given(
    signature: Signature, kind: str
) -> tuple[tuple[LayerReport, ...], tuple[OutputReport, ...]]:
    given = given_by(signature, kind)
    layers = (
        LayerReport(name, key, width_of(signature, key)) for name, key in given.layers.items()
    )
    outputs = (
        OutputReport(_asked(name), key, width_of(signature, key))
        for name, key in given.outputs.items()
    )
    return tuple(layers), tuple(outputs)


def _asked(output: str) -> str:
    """An output as `--vectors` names it."""
    return output if output == POOLER else f"{OUTPUT}@{output}"


def _column(
    column: VectorColumn, layers: Sequence[LayerReport], outputs: Sequence[OutputReport]
) -> ColumnReport:
    then = tuple(Path(step).name for step in column.modules)
    if column.pooling == OUTPUT:
        asked = _asked(column.output)
        width = next((one.width for one in outputs if one.vectors == asked), None)
        return ColumnReport(f"{column.name}={asked}", then, width)
    where = str(column.layers[0])
    if len(column.layers) > 1:
        where += f":{column.layers[-1]}/{column.combine}"
    width = _pooled_width(column, {layer.layer: layer.width for layer in layers})
    if width is not None:
        width = width_after(column.modules, width)
    return ColumnReport(f"{column.name}={column.pooling}@{where}", then, width)


def _pooled_width(column: VectorColumn, widths: Mapping[Layer, int | None]) -> int | None:
    there = [width for layer in column.layers if (width := widths[layer]) is not None]
    if len(there) < len(column.layers):
        return None
    combined = sum(there) if column.combine == "concat" else there[0]
    return combined * len(poolings_of(column))


def _tokenizer(spec: TokenizerSpec, library: Tokenizer) -> TokenizerReport:
    size = library.unknown if spec.kind == "words" else library.size
    files = [spec.vocabulary] if spec.kind == "words" else [spec.path, spec.vocabulary]
    return TokenizerReport(
        kind=spec.kind,
        files=tuple(os.path.abspath(file) for file in files if file),
        vocabulary_size=size,
        lower_case=spec.lowercase_first or _lower_cases(spec),
        before=library.cls[0] if library.cls else None,
        after=library.sep[0] if library.sep else None,
        separators=library.separators,
    )


def _lower_cases(spec: TokenizerSpec) -> bool:
    """What was decided, else what `tokenizer.json` says of its normalizers."""
    if spec.lowercase is not None or spec.kind != "tokenizer.json":
        return bool(spec.lowercase)
    normalizer = json.loads(Path(spec.path).read_text("utf-8")).get("normalizer") or {}
    steps = normalizer.get("normalizers") or [normalizer]
    return any(step.get("type") == "Lowercase" or step.get("lowercase") for step in steps)


def _trial(library: Tokenizer) -> TrialReport:
    (found,) = library.encode([TRIAL], spans=False)
    tokens, ids = list(found.tokens), [int(number) for number in found.ids]
    unknown = None if library.unknown is None else ids.count(library.unknown)
    if library.cls:
        tokens, ids = [library.cls[0], *tokens], [library.cls[1], *ids]
    if library.sep:
        tokens, ids = [*tokens, library.sep[0]], [*ids, library.sep[1]]
    return TrialReport(TRIAL, tuple(tokens), tuple(ids), unknown)


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A layer as `--layers` and `--vectors` name it, the signature's output that gives it (empty
    where the model has no signatures), and how wide it is (null: its files do not say).
    """

    layer: Layer
    key: str
    width: int | None


@dataclass(frozen=True, slots=True)
class OutputReport:
    """An output of the model's own: `vectors` is how `--vectors` names it, `key` how the signature
    does.
    """

    vectors: str
    key: str
    width: int | None


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """The sentence vector where nobody asks for another. `vectors` is what `--vectors` would say;
    `then` the modules that are applied afterwards, which `--vectors` cannot say.
    """

    vectors: str
    then: tuple[str, ...]
    width: int | None


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """A function of the model. `adapter` is the kind that runs it, null with the reason in
    `why_not`; `chosen`: it is the one that is called. Sizes that vary are null in `shape`.
    """

    name: str
    training: bool | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    adapter: str | None
    why_not: str | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class TrialReport:
    """A sentence as the model would read it, special tokens included. `unknown` counts tokens that
    the vocabulary does not have (null: nobody can know).
    """

    text: str
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    unknown: int | None


@dataclass(frozen=True, slots=True)
class TokenizerReport:
    """`kind` is a key of `tokenizers.TOKENIZERS`; `lower_case` whether letters are lower-cased
    before the vocabulary sees them; `before`, `after` are the tokens that stand around a text.
    """

    kind: str
    files: tuple[str, ...]
    vocabulary_size: int | None
    lower_case: bool
    before: str | None
    after: str | None
    separators: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """A model, or one reading of what lies there. What is not known is null.

    `kind` is a key of `encoders.KINDS`, `form` says it in words. `handle` is what a `path` in the
    cache was fetched from. `problem` says why it cannot be run, or not without one flag more.
    `digest` is the model's own, over all that decides its vectors; `bytes` and `files` count all
    that lies there. `takes` is `strings`, `words` or `token ids`. `max_seq_length` is the longest
    input where nobody asks for another, `longest` what can be asked for (null: any). `signature`
    names the function that is called. `architecture` is what a configuration calls the model.
    `embed` is a command line.
    """

    what: str = "model"
    form: str
    kind: str | None = None
    place: str
    handle: str | None = None
    path: str
    problem: str | None = None
    digest: str | None = None
    bytes: int
    files: int
    parameters: int | None = None
    architecture: str | None = None
    takes: str | None = None
    layers: tuple[LayerReport, ...] = ()
    layer_count: int | None = None
    hidden_size: int | None = None
    outputs: tuple[OutputReport, ...] = ()
    poolings: tuple[str, ...] = ()
    default_columns: tuple[ColumnReport, ...] = ()
    max_seq_length: int | None = None
    longest: int | None = None
    vocabulary_size: int | None = None
    tokenizer: TokenizerReport | None = None
    pairs: bool | None = None
    prompts: Mapping[str, str] | None = None
    default_prompt: str = ""
    signature: str | None = None
    signatures: tuple[SignatureReport, ...] = ()
    assets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trial: TrialReport | None = None
    embed: str | None = None
