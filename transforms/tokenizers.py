"""Texts to tokens, each by the program that its model was made for, with every token's span.

WordPiece and Hugging Face's tokenizers run in the `tokenizers` library, SentencePiece models in
`sentencepiece`. Special tokens are not added here (`windows` does) and never found in a text: a
literal `[CLS]` is text, unlike in sentence-transformers.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from transforms import sentence_pieces, words
from transforms import spans as span_maps
from transforms.specs import TokenizerSpec
from transforms.tokens import Named, Tokenizer, Tokens

CLS, SEP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"


def load_tokenizer(spec: TokenizerSpec) -> Tokenizer:
    """Raises `ValueError` with the file and what is wrong with it."""
    try:
        return TOKENIZERS[spec.kind](spec)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{spec.path}: cannot be read as a {spec.kind} tokenizer ({error})"
        ) from error
    except Exception as error:  # the tokenizers library raises bare Exceptions
        if type(error) is not Exception:
            raise
        raise ValueError(
            f"{spec.path}: not a tokenizer that the tokenizers library reads ({error})"
        ) from error


# What a tokenizer is shown instead of a text, and where that comes from: see `spans.lowercase`.
_See = Callable[[str], tuple[str, np.ndarray | None]]


class _Library:
    """A tokenizer of the `tokenizers` library. `names`: tokens by id; `special`: of its own tokens
    [CLS], [SEP] and, where it has one, [UNK].
    """

    separators, segments, strings = 1, True, False
    unknown: int | None
    cls: tuple[str, int] | None
    sep: tuple[str, int] | None

    def __init__(
        self, tokenizer, names: Mapping[int, str], special: tuple[int, int, int], see: _See | None
    ):
        self._tokenizer, self._names, self._see = tokenizer, names, see
        self._tokenizer.encode_special_tokens = True  # lost on pickling: set here, in the worker
        cls, sep, self.unknown = special
        self.cls, self.sep = (names[cls], cls), (names[sep], sep)
        self.size = max(names) + 1
        blank = tokenizer.token_to_id("▁")
        self._blank = -1 if blank is None else blank
        # It leaves white space out, so that no span begins with any.
        self._has_spaces = type(tokenizer.pre_tokenizer).__name__ != "BertPreTokenizer"

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        seen: Sequence[str] = texts
        origins: Iterable[np.ndarray | None] = itertools.repeat(None)
        if self._see and texts:
            seen, origins = zip(*map(self._see, texts))
        run = self._tokenizer.encode_batch if spans else self._tokenizer.encode_batch_fast
        encodings = run(list(seen), add_special_tokens=False)
        return [
            self._tokens(encoding, text, origin, spans)
            for encoding, text, origin in zip(encodings, texts, origins)
        ]

    def _tokens(self, encoding, text: str, origins: np.ndarray | None, spans: bool) -> Tokens:
        numbers = encoding.ids
        ids = np.array(numbers, np.int32)
        # Not `encoding.tokens`: slower, and empty strings from `encode_batch_fast`.
        tokens = Named(numbers, self._names)
        if not spans:
            return Tokens(tokens, ids, None)
        flat = itertools.chain.from_iterable(encoding.offsets)
        places = np.fromiter(flat, np.int32, 2 * len(ids)).reshape(-1, 2)
        if origins is not None:
            places = span_maps.through_origins(places, origins)
        if self._has_spaces:
            places = span_maps.without_space(places, text, ids == self._blank)
        return Tokens(tokens, ids, places.astype(np.int32, copy=False))


def _word_piece(spec: TokenizerSpec) -> Tokenizer:
    """google-research/bert's tokenizer, whose words have up to 200 characters.

    Source: google-research/bert, tokenization.py, FullTokenizer; TensorFlow's `GFile.readline`
    ends lines at line feeds only and drops carriage returns.
    """
    from transforms.stand_ins import StandIns

    text = Path(spec.path).read_bytes().decode().replace("\r", "")
    lines = [line.strip() for line in text.removesuffix("\n").split("\n")]
    vocabulary, special = _numbered(lines, spec)
    stand_ins = StandIns(vocabulary, bool(spec.lowercase))
    tokenizer = _library(stand_ins.vocabulary, 200, stand_ins.normalizer)
    return _Library(tokenizer, dict(enumerate(lines)), special, stand_ins.see)


def _bert_fast(spec: TokenizerSpec) -> Tokenizer:
    """Hugging Face's BertTokenizerFast from `vocab.txt`, whose words have up to 100 characters.

    Source: transformers, tokenization_bert.py, load_vocab: lines end as in any text file and keep
    their white space.
    """
    from tokenizers import normalizers

    lines = Path(spec.path).read_text("utf-8").removesuffix("\n").split("\n")
    normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=spec.chinese_characters is not False,
        strip_accents=spec.strip_accents,
        lowercase=bool(spec.lowercase),
    )
    vocabulary, special = _numbered(lines, spec)
    tokenizer = _library(vocabulary, 100, normalizer)
    see = span_maps.lowercase if spec.lowercase_first else None
    return _Library(tokenizer, dict(enumerate(lines)), special, see)


def _numbered(
    lines: Sequence[str], spec: TokenizerSpec
) -> tuple[dict[str, int], tuple[int, int, int]]:
    """Ids by token, and those of [CLS], [SEP] and [UNK]. A token that stands twice has the number
    of its last line, in either original.
    """
    vocabulary = {line: number for number, line in enumerate(lines)}
    for token in (UNKNOWN, CLS, SEP):
        if token not in vocabulary:
            raise ValueError(f"{spec.path}: has no {token}; is it the vocabulary of a BERT?")
    return vocabulary, (vocabulary[CLS], vocabulary[SEP], vocabulary[UNKNOWN])


def _library(vocabulary: dict[str, int], max_word_length: int, normalizer):
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    model = models.WordPiece(
        vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=max_word_length
    )
    tokenizer = Library(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _tokenizer_json(spec: TokenizerSpec) -> Tokenizer:
    """`tokenizer.json` has all rules, but for what `tokenizer_config.json` says otherwise."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    tokenizer = Library.from_file(spec.path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    around = tokenizer.encode("")
    if len(around) != 2:
        raise ValueError(
            f"{spec.path}: puts {around.tokens} around a text;"
            " a BERT wants one token before it and one after"
        )
    _override(tokenizer, spec)
    unknown = getattr(tokenizer.model, "unk_token", None)
    if isinstance(tokenizer.model, models.Unigram):  # SentencePiece's, which does not tell
        unknown = "<unk>"
    unknown_id = tokenizer.token_to_id(unknown) if unknown else None
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    cls, sep = around.ids
    special = (cls, sep, -1 if unknown_id is None else unknown_id)
    see = span_maps.lowercase if spec.lowercase_first else None
    library = _Library(_without_specials(tokenizer, unknown), names, special, see)
    library.separators, library.segments = _pair_rules(tokenizer, spec, cls, sep)
    return library


def _pair_rules(tokenizer, spec: TokenizerSpec, cls: int, sep: int) -> tuple[int, bool]:
    """How many separators are between the texts of a pair, and whether B has a segment of its own.

    Raises `ValueError` where anything else stands around the texts.
    """
    pair = tokenizer.encode("a", "b")
    a, b = (tokenizer.encode(text, add_special_tokens=False).ids for text in "ab")
    separators = len(pair) - len(a) - len(b) - 2
    if pair.ids != [cls, *a, *[sep] * separators, *b, sep]:
        raise ValueError(
            f"{spec.path}: puts a pair together as {pair.tokens}; only separators between the"
            " texts are implemented"
        )
    return separators, any(pair.type_ids)


def _without_specials(tokenizer, unknown: str | None):
    """A tokenizer for texts: where pieces of a text could be special tokens, those are renamed.

    `encode_special_tokens` does not help where the model itself has them as pieces and nothing
    splits them before: in a text for XLM-R, `<s>` would be the best piece for `<s>`.
    """
    tokenizer.encode_special_tokens = True
    added = tokenizer.get_added_tokens_decoder()
    special = {n: t.content for n, t in added.items() if t.special and t.content != unknown}
    spelled = tokenizer.encode_batch_fast(list(special.values()), add_special_tokens=False)
    if special.keys().isdisjoint(itertools.chain.from_iterable(found.ids for found in spelled)):
        return tokenizer
    state = tokenizer.to_str()
    for token in special.values():  # no piece of a text has both a non-character and a space
        old, new = (json.dumps(name, ensure_ascii=False) for name in (token, f"\ufdd0 {token}"))
        state = state.replace(old, new)
    return type(tokenizer).from_str(state)


def _override(tokenizer, spec: TokenizerSpec) -> None:
    from tokenizers import normalizers

    normalizer = tokenizer.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        if spec.lowercase is not None:
            normalizer.lowercase = spec.lowercase
        if spec.strip_accents is not None or spec.of_class:
            normalizer.strip_accents = spec.strip_accents
        if spec.chinese_characters is not None:
            normalizer.handle_chinese_chars = spec.chinese_characters
        tokenizer.normalizer = normalizer
    elif spec.lowercase_asked:
        raise ValueError(
            f"--do_lower_case: {spec.path} has its own rules for case; leave the flag away (auto)"
        )


TOKENIZERS: Mapping[str, Callable[[TokenizerSpec], Tokenizer]] = {
    "wordpiece": _word_piece,
    "bert_fast": _bert_fast,
    "tokenizer.json": _tokenizer_json,
    "sentencepiece": sentence_pieces.bert_japanese,
    "xlm_roberta": sentence_pieces.xlm_roberta,
    "sentencepiece_ids": sentence_pieces.own_numbers,
    "pieces": sentence_pieces.plain,
    "words": words.split_at_spaces,
}
