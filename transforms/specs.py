"""What is known of a model before it is loaded: small, frozen, picklable. Specs travel to the
workers, weights do not.
"""

from __future__ import annotations

from dataclasses import dataclass

POOLER = "pooler"


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """Which tokenizer, and the rules of the program that the model was made for.

    `kind` is a key of `tokenizers.TOKENIZERS`. `lowercase`, `strip_accents` and
    `chinese_characters` are that tokenizer's own rules (None: what its file or its program says),
    `lowercase_first` that of a program which lower-cases a text before the tokenizer sees it.
    `lowercase_asked`: by the user, not by the model's files. `of_class`: the rules are those of the
    tokenizer's class, and replace what the file says even where they are None.
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


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The shape and arithmetic of a BERT. `activation` is a key of `encoders.bert.ACTIVATIONS`."""

    vocab_size: int
    hidden_size: int
    layer_count: int
    heads: int
    intermediate_size: int
    positions: int
    segment_types: int
    activation: str
    layer_norm_eps: float = 1e-12
    first_position: int = 0  # XLM-R counts from the padding id + 1


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """A sentence vector asked for: `pooling` over the tokens of `layers` (lower first), put
    together by `combine`.

    `modules` are files of a sentence-transformers model to apply after pooling, see
    `sentence_modules`; with `skip_prompt` the prompt and the [CLS] before it do not count.
    """

    name: str
    pooling: str
    layers: tuple[int, ...] = ()
    combine: str = "concat"
    modules: tuple[str, ...] = ()
    skip_prompt: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an encoder is asked for: layers by index (0: the embedding output), and whether the
    pooled output.
    """

    layers: tuple[int, ...]
    pooler: bool = False
    precision: str = "float32"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as its folder describes it. `kind` is a key of `encoders.KINDS`; `digest` is over all
    files that matter, `weights` the files (or the checkpoint's prefix) that hold the arrays.

    `max_seq_length` counts special tokens. `default_columns` is what the model's own files say of
    its sentence vector.
    """

    kind: str
    path: str
    weights: tuple[str, ...]
    bert: BertConfig
    tokenizer: TokenizerSpec
    max_seq_length: int
    digest: str
    has_pooler: bool
    separators: int = 1  # that stand between the texts of a pair
    segments: bool = True  # the model is told which text of a pair a token is of
    default_columns: tuple[VectorColumn, ...] = ()
    prompts: tuple[tuple[str, str], ...] = ()
    default_prompt: str = ""

    @property
    def layer_count(self) -> int:
        return self.bert.layer_count

    @property
    def hidden_size(self) -> int:
        return self.bert.hidden_size
