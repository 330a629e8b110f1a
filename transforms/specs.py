"""What is known of a model before it is loaded: small, frozen, picklable. Specs travel to the
workers, weights do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from corpusvec.transforms.architectures import Transformer

POOLER = "pooler"  # the output that BERTs have beside their layers
TF32 = "tf32"
OUTPUT = "output"  # what stands for a pooling in columns that take an output as it is

# A layer by its number, 0 being the embedding output, or by its name; -1 is the last one of a model
# that gives no other.
Layer = int | str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user says of a model beside where it is; the flags of the same names explain each."""

    tokenizer: str = ""
    do_lower_case: str = "auto"
    signature: str = ""
    output_key: str = ""


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """Which tokenizer, and the rules of the program that the model was made for.

    `kind` is a key of `tokenizers.TOKENIZERS`. `lowercase`, `strip_accents` and
    `chinese_characters` are that tokenizer's own rules (None: what its file or its program says),
    `lowercase_first` that of a program which lower-cases a text before the tokenizer sees it.
    `lowercase_asked`: by the user, not by the model's files. `of_class`: the rules are those of the
    tokenizer's class, and replace what the file says even where they are None.

    `named` are the tokens that the model's files, or the class that they name, call its
    `cls_token`, `sep_token` and so on: a prompt can hold them, a text cannot. `split_special`:
    neither can. `segments`: the model distinguishes the texts of a pair. `keep_end`: a
    text that is truncated loses its beginning. `prefix_space`: whether a text begins with a space
    where its pieces are of bytes (None: what the file says). `bare`: no tokens stand around a text,
    whatever the file says; `skips_unknown`: unknown tokens are left out. `dictionary`: MeCab's,
    where it cuts a text into words, which fall into `characters` or into pieces. `extra_ids`: how
    many tokens T5 has behind the pieces of its file. `vocabulary` is the second file where there
    are two.
    """

    kind: str
    path: str
    vocabulary: str = ""
    lowercase: bool | None = None
    lowercase_first: bool = False
    strip_accents: bool | None = None
    chinese_characters: bool | None = None
    lowercase_asked: bool = False
    of_class: bool = False
    named: tuple[tuple[str, str], ...] = ()
    split_special: bool = False
    segments: bool = True
    keep_end: bool = False
    prefix_space: bool | None = None
    bare: bool = False
    skips_unknown: bool = False
    dictionary: str = ""
    characters: bool = False
    extra_ids: int = 0


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """A sentence vector asked for: `pooling` over the tokens of `layers` (lower first), put
    together by `combine`; or, where that is `OUTPUT`, the model's own `output`.

    `modules` are files of a sentence-transformers model to apply after pooling, see
    `sentence_modules`; with `skip_prompt` the prompt and the [CLS] before it do not count.
    """

    name: str
    pooling: str
    layers: tuple[Layer, ...] = ()
    combine: str = "concat"
    modules: tuple[str, ...] = ()
    skip_prompt: bool = False
    output: str = ""


Ranges: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Quantization:
    """How a column is stored that holds no floats. `ranges` are the least and the greatest value of
    each dimension for `int8`; None for one bit a number.
    """

    dtype: str
    dimensions: int
    ranges: Ranges | None = None


@dataclass(frozen=True, slots=True)
class VectorPlan:
    """Which vectors to make of a document.

    `token_layers` is column name and layer of every token table column, empty for no token table;
    `normalize` is for all sentence vectors, beside what a column says of itself; `dtype` is that of
    the files. Where they hold no floats `quantizations` says of each column how.
    """

    columns: tuple[VectorColumn, ...]
    token_layers: tuple[tuple[str, Layer], ...] = ()
    normalize: bool = False
    mask_special: bool = False
    dtype: str = "float32"
    quantizations: tuple[Quantization, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an encoder is asked for: layers, and outputs of the model's own.

    `pooled` is what becomes of the layers, where the encoder pools them: then only those of the
    token table are given.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[str, ...] = ()
    precision: str = "float32"
    pooled: VectorPlan | None = None

    @property
    def dtype(self) -> str:
        """In which type numbers are kept: TF32 is how a GPU multiplies those of float32."""
        return "float32" if self.precision == TF32 else self.precision

    @property
    def given(self) -> tuple[Layer, ...]:
        """The layers of all tokens that come out of the encoder."""
        return tuple(layer for _, layer in self.pooled.token_layers) if self.pooled else self.layers

    @property
    def columns(self) -> tuple[VectorColumn, ...]:
        """Those for which the encoder pools layers."""
        columns = self.pooled.columns if self.pooled else ()
        return tuple(column for column in columns if column.pooling != OUTPUT)

    @property
    def pooler(self) -> bool:
        return POOLER in self.outputs


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or an output of a signature; `shape` has None where a size varies, and is None where
    not even the rank is known.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True, slots=True)
class Signature:
    """A function of a SavedModel, as `--signature` names it; `__call__` is the object's own.

    Names of nested inputs and outputs are paths (`encoder_outputs/0`); a single unnamed output is
    `default`. `function` is the concrete function in the file, empty for signatures proper;
    `training` is the argument that it was traced with, None where it has none; `usual` is False
    where another argument, no tensor, was not as it is where a caller leaves it away.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    function: str = ""
    training: bool | None = None
    usual: bool = True


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as its folder describes it. `kind` is a key of `encoders.KINDS`; `digest` is over all
    files that matter.

    `tokenizer` is None where the model takes strings. `max_seq_length` counts special tokens, and
    `longest` is what it can be raised to (None: any). `layers` and `outputs` are what the model can
    give: see `Layer`, and `pooler` or an output's key. `default_columns` is its sentence vector
    where nobody asks for another, empty where several could be meant. `weights` are the files (or
    the checkpoint's prefix) that hold the arrays, `notes` what was decided where two readings were
    possible.
    """

    kind: str
    path: str
    digest: str
    tokenizer: TokenizerSpec | None
    max_seq_length: int | None
    longest: int | None
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    default_columns: tuple[VectorColumn, ...]
    hidden_size: int | None = None
    parameters: int = 0
    weights: tuple[str, ...] = ()
    transformer: Transformer | None = None  # of the models that our own forward pass runs
    signature: Signature | None = None
    specials: int = 2  # that stand around a text, as [CLS] and [SEP] do
    separators: int = 1  # that stand between the texts of a pair
    segments: bool = True  # the model distinguishes the texts of a pair
    pairs: bool = True  # it takes any
    padding: bool = True  # False: it would change vectors
    prompts: tuple[tuple[str, str], ...] = ()
    default_prompt: str = ""
    notes: tuple[str, ...] = ()

    @property
    def layer_count(self) -> int:
        """How many layers there are above the embeddings, as far as is known."""
        return max((layer for layer in self.layers if isinstance(layer, int)), default=0)

    @property
    def longest_padded(self) -> int | None:
        """What batches may be padded to, None where to no more than their longest window."""
        return self.longest if self.padding else None

    @property
    def has_pooler(self) -> bool:
        return POOLER in self.outputs

    @property
    def special_tokens(self) -> int:
        """How many stand around and between the texts of a pair."""
        return self.specials + self.separators
