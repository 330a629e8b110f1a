"""Settings of an embedding, checked against the model that they are for."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Concatenate, ParamSpec

from corpusvec.pipeline import card_prompts
from corpusvec.transforms.documents.formats import CHUNKS
from corpusvec.transforms.models.placements import Origin, described
from corpusvec.transforms.models.saved_models.choices import (
    given_by,
    layer_widths,
    undecided,
    width_of,
)
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.schemas import SENTENCE_COLUMNS
from corpusvec.transforms.specs import (
    OUTPUT,
    Asked,
    Layer,
    ModelSpec,
    Quantization,
    Ranges,
    VectorColumn,
    VectorPlan,
    Wanted,
)
from corpusvec.transforms.tokens.chunks import ChunkPlan
from corpusvec.transforms.tokens.tokenizers import HUGGING_FACES, load_tokenizer
from corpusvec.transforms.tokens.windows import LONG_TEXT, WindowPlan, prompted
from corpusvec.transforms.vectors.columns import parse_layers, parse_vectors
from corpusvec.transforms.vectors.dense_layers import (
    NORMALIZE,
    TRUNCATE,
    dimensions,
    width_after,
)
from corpusvec.transforms.vectors.poolings import POOLINGS, poolings_of
from corpusvec.transforms.vectors.quantizations import (
    DTYPES,
    FLOATS,
    INT8,
    read_ranges,
)

# To be raised with whatever gives some text another vector under the same settings, or what nights
# before have made is taken for what this one would make.
_RULES = 2
# Rules that came later, as older outputs were made without being asked: their recipe is the same.
_LATER: Mapping[str, Any] = {
    "prefix_space": None,
    "bare": False,
    "skips_unknown": False,
    "dictionary": "",
    "characters": False,
    "extra_ids": 0,
}
_CHOICES = {
    "do_lower_case": ("auto", "true", "false"),
    "long_text": LONG_TEXT,
    "precision": ("float32", "tf32", "bfloat16", "float16"),
    "vector_dtype": DTYPES,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a user says of model and vectors; the flags of the same names explain each."""

    model: str
    tokenizer: str = ""
    do_lower_case: str = "auto"
    signature: str = ""
    output_key: str = ""
    model_cache: str | None = None
    refresh_model: bool = False
    layers: str | None = None
    vectors: str | None = None
    normalize: bool = False
    mask_special: bool = False
    dimensions: int | None = None
    prompt: str | None = None
    max_seq_length: int | None = None
    long_text: str = "window"
    window_overlap: int | None = None
    precision: str = "float32"
    vector_dtype: str = "float32"
    vector_ranges: str | None = None

    def resolve(self) -> Recipe:
        """Raises `ValueError` with the flag, the value, what is allowed and what to do."""
        for name, allowed in _CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"--{name}={value}: use one of {', '.join(allowed)}")
        spec, origin = self.describe_model()
        token_layers = parse_layers(self.layers, spec.layers) if self.layers is not None else ()
        columns = tuple(self._cut(column, spec) for column in self._columns(spec))
        plan = WindowPlan(
            max_seq_length=self._max_seq_length(spec),
            long_text=self.long_text,
            overlap=self.window_overlap,
            prompt=self._prompt(spec),
            spans=bool(token_layers),
            pairs=spec.pairs,
            keep_end=spec.tokenizer is not None and spec.tokenizer.keep_end,
            b_first=spec.tokenizer is not None and spec.tokenizer.kind in HUGGING_FACES,
        )
        _check_windows(plan, spec)
        self._check_use(spec, columns)
        _check_widths(spec, columns)
        if self.precision == "float16" and spec.transformer is None:
            raise ValueError(
                f"--precision=float16: {self.model} is a SavedModel, which computes in float32,"
                " tf32 or bfloat16; use one of these"
            )
        missing = card_prompts.notes(self.model, spec) if self.prompt is None else ()
        vectors = self._vector_plan(columns, token_layers, spec)
        return Recipe(
            spec=spec,
            origin=origin,
            wanted=_wanted(vectors, self.precision),
            windows=plan,
            vectors=vectors,
            notes=(*spec.notes, *missing),
        )

    def _vector_plan(
        self,
        columns: tuple[VectorColumn, ...],
        token_layers: tuple[tuple[str, Layer], ...],
        spec: ModelSpec,
    ) -> VectorPlan:
        how = self._quantizations(columns, spec)
        flags = (self.normalize, self.mask_special, self.vector_dtype)
        return VectorPlan(columns, token_layers, *flags, how)

    def _quantizations(
        self, columns: tuple[VectorColumn, ...], spec: ModelSpec
    ) -> tuple[Quantization, ...]:
        """Those of the columns; none for floats, and none for int8 until its ranges are known.

        Raises `ValueError` for ranges of other dimensions, and for columns whose width nobody
        knows.
        """
        dtype = self.vector_dtype
        if self.vector_ranges is not None and dtype != INT8:
            raise ValueError(
                f"--vector_ranges={self.vector_ranges}: is for --vector_dtype=int8, and that is"
                f" {dtype}; omit it"
            )
        if dtype in FLOATS:
            return ()
        if self.layers:
            raise ValueError(
                f"--vector_dtype={dtype}: is for sentence vectors, and --layers={self.layers} asks"
                " for vectors of tokens; use float32 or float16, or omit --layers"
            )
        if dtype == INT8 and self.vector_ranges is None:
            return ()
        widths = [_known_width(column, spec, dtype) for column in columns]
        if dtype != INT8:
            return tuple(Quantization(dtype, width) for width in widths)
        ranges = _ranges_in(self.vector_ranges or "", [column.name for column in columns])
        for column, width in zip(columns, widths):
            if (told := len(ranges[column.name][0])) != width:
                raise ValueError(
                    f"--vector_ranges={self.vector_ranges}: has ranges of {told} dimensions, and"
                    f" {column.name} has {width}; measure them with the same model and settings"
                )
        return _of_ranges(columns, ranges)

    def describe_model(self) -> tuple[ModelSpec, Origin]:
        """The model, fetched where `model` is a handle."""
        asked = Asked(self.tokenizer, self.do_lower_case, self.signature, self.output_key)
        return described(self.model, self.model_cache, self.refresh_model, asked)

    def _columns(self, spec: ModelSpec) -> tuple[VectorColumn, ...]:
        if self.vectors is None and not spec.default_columns:
            raise ValueError(f"--model={self.model}: {undecided(spec)}")
        if self.vectors is None:
            return spec.default_columns
        own = (poolings_for(spec), spec.layers, spec.outputs)
        return parse_vectors(self.vectors, *own, reserved=SENTENCE_COLUMNS)

    def _cut(self, column: VectorColumn, spec: ModelSpec) -> VectorColumn:
        """A column of the first dimensions, normalized again where the model normalizes.

        Raises `ValueError` where it has fewer.
        """
        if self.dimensions is None:
            return column
        width = _width(column, spec)
        if width is not None and self.dimensions > width:
            raise ValueError(
                f"--dimensions={self.dimensions}: {column.name} has {width} dimensions; use 1 to"
                f" {width}"
            )
        steps = [NORMALIZE] if NORMALIZE in column.modules else []
        return replace(column, modules=(*column.modules, f"{TRUNCATE}{self.dimensions}", *steps))

    def _check_use(self, spec: ModelSpec, columns: tuple[VectorColumn, ...]) -> None:
        """Raises `ValueError` where a flag would change nothing, or a vector would be of a part."""
        for name, unsaid in (("long_text", "window"), ("window_overlap", None)):
            if (value := getattr(self, name)) == unsaid:
                continue
            if spec.tokenizer is None:
                raise ValueError(
                    f"--{name}={value}: the model takes whole strings and cuts them itself; omit"
                    " the flag"
                )
            if spec.max_seq_length is None and self.max_seq_length is None:
                raise ValueError(
                    f"--{name}={value}: the model takes texts of any length; say with"
                    " --max_seq_length how many tokens it is to see at once"
                )
        if self.mask_special and not spec.specials:
            raise ValueError("--mask_special: the model has no special tokens; omit the flag")
        own = [column.output for column in columns if column.pooling == OUTPUT]
        cut = self.max_seq_length is not None and self.long_text == "window"
        if own and cut and spec.max_seq_length is None:
            instead = ", or a pooling of a layer in --vectors" if spec.layers else ""
            raise ValueError(
                f"--max_seq_length={self.max_seq_length}: output {own[0]} is one vector of a whole"
                " text, which cannot be cut into windows; use --long_text=truncate or"
                f" error{instead}"
            )

    def _prompt(self, spec: ModelSpec) -> str:
        if self.prompt is None:
            return spec.default_prompt
        return dict(spec.prompts).get(self.prompt, self.prompt)

    def _max_seq_length(self, spec: ModelSpec) -> int | None:
        if self.max_seq_length is None:
            return spec.max_seq_length
        if spec.tokenizer is None:
            raise ValueError(
                f"--max_seq_length={self.max_seq_length}: the model takes whole strings and cuts"
                " them itself; omit the flag"
            )
        if spec.longest is not None and self.max_seq_length > spec.longest:
            raise ValueError(
                f"--max_seq_length={self.max_seq_length}: the model has {spec.longest} positions;"
                " use that or less"
            )
        return self.max_seq_length


_Fields = ParamSpec("_Fields")


def takes(
    settings: Callable[_Fields, Settings],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, _Fields], None]]:
    """Shows type checkers, and `help`, that a constructor takes these settings."""

    def shown(constructor: Callable[..., None]) -> Callable[Concatenate[Any, _Fields], None]:
        own = inspect.signature(constructor)
        fields = inspect.signature(settings).parameters.values()
        both = own.replace(parameters=[own.parameters["self"], *fields])
        constructor.__signature__ = both  # type: ignore[attr-defined]
        return constructor

    return shown


def poolings_for(spec: ModelSpec) -> tuple[str, ...]:
    """The poolings that a model's layers can have."""
    if not spec.layers:
        return ()
    of_specials = {name for name in POOLINGS if any(part.over == "all" for part in POOLINGS[name])}
    return tuple(name for name in POOLINGS if spec.specials or name not in of_specials)


def _width(column: VectorColumn, spec: ModelSpec) -> int | None:
    """Of a column, None where nobody knows."""
    if column.pooling == OUTPUT:
        width = _output_width(column.output, spec)
        return None if width is None else width_after(column.modules, width)
    known = layer_widths(spec)
    widths = [width for layer in column.layers if (width := known.get(layer)) is not None]
    if len(widths) < len(column.layers):
        return None
    combined = sum(widths) if column.combine == "concat" else widths[0]
    return width_after(column.modules, combined * len(poolings_of(column)))


def _output_width(output: str, spec: ModelSpec) -> int | None:
    """Of what a model gives for a whole text."""
    if spec.signature is None:
        return spec.hidden_size
    key = given_by(spec.signature, spec.kind).outputs.get(output, output)
    return width_of(spec.signature, key)


def _known_width(column: VectorColumn, spec: ModelSpec, dtype: str) -> int:
    """Raises `ValueError` where the model does not say how wide a column is."""
    width = _width(column, spec)
    cut = [first for step in column.modules if (first := dimensions(step)) is not None]
    if width is None and not cut:
        raise ValueError(
            f"--vector_dtype={dtype}: the model does not say how many dimensions {column.name} has;"
            " say it with --dimensions"
        )
    return cut[-1] if width is None else width


def _ranges_in(path: str, columns: list[str]) -> dict[str, Ranges]:
    """Those in a file, or of the published snapshot of an output of `embed`."""
    path = os.path.expanduser(path)
    output = Output(path)
    if output.latest is not None:
        path = output.manifest_path(output.latest)
    return read_ranges(path, columns)


def _of_ranges(
    columns: tuple[VectorColumn, ...], ranges: Mapping[str, Ranges]
) -> tuple[Quantization, ...]:
    return tuple(
        Quantization(INT8, len(ranges[column.name][0]), ranges[column.name]) for column in columns
    )


def _check_widths(spec: ModelSpec, columns: tuple[VectorColumn, ...]) -> None:
    for column in columns:
        if len(column.layers) < 2 or column.combine == "concat":
            continue
        known = layer_widths(spec)
        widths = {width for layer in column.layers if (width := known.get(layer))}
        if len(widths) > 1:
            wide = " and ".join(map(str, sorted(widths)))
            raise ValueError(
                f"--vectors: {column.name} would be the {column.combine} of layers that are {wide}"
                " wide; use concat, or layers of one width (`inspect` shows them)"
            )


def _wanted(vectors: VectorPlan, precision: str) -> Wanted:
    layers = {layer for column in vectors.columns for layer in column.layers}
    layers |= {layer for _, layer in vectors.token_layers}
    outputs = {column.output for column in vectors.columns if column.output}
    in_order = sorted(layers, key=lambda layer: (isinstance(layer, str), layer))
    return Wanted(tuple(in_order), tuple(sorted(outputs)), precision, vectors)


def _check_windows(plan: WindowPlan, spec: ModelSpec) -> None:
    plan.check(spec.special_tokens)
    if not plan.prompt:
        return
    try:
        plan.prompt.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"--prompt={plan.prompt!r}: is not valid text") from error
    if spec.tokenizer is None:
        return
    tokens = prompted(plan, load_tokenizer(spec.tokenizer)).prompt_tokens
    if plan.max_seq_length is None:
        return
    room = plan.max_seq_length - spec.special_tokens
    if tokens >= room:
        raise ValueError(
            f"--prompt: takes {tokens} of the {room} tokens that --max_seq_length"
            f"={plan.max_seq_length} leaves; no text would fit"
        )


def chunk_plan(recipe: Recipe, tokens: int | None, overlap: int | None) -> ChunkPlan:
    """How documents become chunks that the model of a recipe reads in one window each.

    Raises `ValueError` where it cannot.
    """
    spec, plan = recipe.spec, recipe.windows
    if spec.tokenizer is None:
        raise ValueError(
            f"--unit={CHUNKS}: the model takes whole strings, so nobody knows where they would fit;"
            " use another --unit"
        )
    if plan.long_text != "window":
        raise ValueError(f"--long_text={plan.long_text}: no chunk is too long; omit the flag")
    longest = plan.max_seq_length
    if (tokens := tokens or longest) is None:
        raise ValueError(
            f"--unit={CHUNKS}: the model takes texts of any length; say with --chunk_tokens how"
            " long a chunk may be"
        )
    if longest is not None and tokens > longest:
        raise ValueError(
            f"--chunk_tokens={tokens}: the model sees {longest} tokens at once; use that or less"
        )
    tokenizer = load_tokenizer(spec.tokenizer)
    around = (tokenizer.cls is not None) + (tokenizer.sep is not None)
    room = tokens - around - prompted(plan, tokenizer).prompt_tokens
    if room < 1:
        raise ValueError(
            f"--chunk_tokens={tokens}: special tokens and the prompt take {tokens - room}; use at"
            f" least {tokens - room + 1}"
        )
    if overlap is not None and overlap >= room:
        raise ValueError(
            f"--window_overlap={overlap}: a chunk has room for {room} tokens; use 0..{room - 1}"
        )
    return ChunkPlan(tokens, overlap, plan)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides which vectors a text gets, and what the user is to know of it."""

    spec: ModelSpec
    origin: Origin
    wanted: Wanted
    windows: WindowPlan
    vectors: VectorPlan
    notes: tuple[str, ...] = ()

    @property
    def lacks_ranges(self) -> bool:
        """Whether vectors cannot be stored before their ranges are known."""
        return self.vectors.dtype == INT8 and not self.vectors.quantizations

    def with_ranges(self, ranges: Mapping[str, Ranges]) -> Recipe:
        """For int8, by the names of columns."""
        found = _of_ranges(self.vectors.columns, ranges)
        return replace(self, vectors=replace(self.vectors, quantizations=found))

    def in_float32(self) -> Recipe:
        """The same vectors before they are made small."""
        plan = replace(self.vectors, dtype="float32", quantizations=())
        return replace(self, vectors=plan)

    def describe(self, markup: str) -> dict[str, Any]:
        """What manifest and files say of the run: vectors of two kinds shall not be mixed
        unnoticed.
        """
        spec = self.spec
        about = {
            "model": {
                "kind": spec.kind,
                "digest": spec.digest,
                "signature": spec.signature.name if spec.signature else None,
            },
            "tokenizer": _without_paths(asdict(spec.tokenizer)) if spec.tokenizer else None,
            "layers": dict(self.vectors.token_layers),
            "vectors": [_without_paths(asdict(column)) for column in self.vectors.columns],
            "normalize": self.vectors.normalize,
            "mask_special": self.vectors.mask_special,
            "max_seq_length": self.windows.max_seq_length,
            "long_text": self.windows.long_text,
            "window_overlap": self.windows.overlap,
            "prompt": self.windows.prompt,
            "scrapbox_markup": markup,
            "precision": self.wanted.precision,
            "vector_dtype": self.vectors.dtype,
            "rules": _RULES,
        }
        if self.vectors.quantizations:
            named = zip(self.vectors.columns, self.vectors.quantizations)
            about["quantization"] = {column.name: asdict(how) for column, how in named}
        return about | {"fingerprint": fingerprint(about)}


def complete(recipe: Recipe) -> Recipe:
    """As it is, for a program that reads no input to measure ranges on. Raises `ValueError` where
    it lacks them.
    """
    if recipe.lacks_ranges:
        raise ValueError(
            "vector_dtype='int8': needs vector_ranges, a file with the least and the greatest value"
            " of each dimension, or an output of `embed` with int8"
        )
    return recipe


def fingerprint(about: Mapping[str, Any]) -> str:
    """SHA-256 of a description, as hexadecimal."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Where a file lies changes no vector: its content is in the model's digest."""
    kept = {key: value for key, value in values.items() if key not in ("path", "vocabulary")}
    for key, value in _LATER.items():
        if kept.get(key) == value:
            kept.pop(key, None)
    if "modules" in kept:
        kept["modules"] = [module.rsplit("/", 1)[-1] for module in kept["modules"]]
    return kept
