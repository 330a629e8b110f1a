"""What `inspect` tells of a model: the fields here are the keys of `inspect --json`.

What is not known is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from transforms.specs import Layer, Tensor


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
