"""Texts to tokens, each by the program that its model was made for, with the span that every token has in the text.

WordPiece and Hugging Face's tokenizers run in the `tokenizers` library, SentencePiece models in `sentencepiece`. Special
tokens are not added here (`windows` does) and never found in a text: a literal `[CLS]` is text, unlike in
sentence-transformers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from transforms import spans as span_maps
from transforms.specs import TokenizerSpec

CLS, SEP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens of one text without special ones: `ids` [T] int32, `spans` [T, 2] int32 (code points) or None."""

    tokens: Sequence[str]
    ids: np.ndarray
    spans: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

    def head(self, n: int) -> Tokens:
        """The first `n` tokens."""
        return Tokens(self.tokens[:n], self.ids[:n], None if self.spans is None else self.spans[:n])


class Tokenizer(Protocol):
    """What a stage needs of a tokenizer. `cls` and `sep` are token and id; ids are below `size`."""

    cls: tuple[str, int]
    sep: tuple[str, int]
    unknown: int
    size: int
    separators: int  # between the texts of a pair
    segments: bool  # the model is told which text of a pair a token is of

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        """Tokenize each text; `spans` asks for them (SentencePiece takes several times longer with them)."""


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


class _Library:
    """A tokenizer of the `tokenizers` library, with its special tokens taken as text."""

    separators, segments = 1, True

    def __init__(self, tokenizer, spec: TokenizerSpec, cls: str, sep: str, unknown: str | None):
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True  # lost on pickling: set here, in the worker
        self._lowercase_first = spec.lowercase_first
        self.cls, self.sep = (cls, self._id(cls, spec)), (sep, self._id(sep, spec))
        self.unknown = -1 if unknown is None else self._id(unknown, spec)
        self.size = max(self._tokenizer.get_vocab().values()) + 1

    def _id(self, token: str, spec: TokenizerSpec) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise ValueError(f"{spec.path}: has no {token}; is it the vocabulary of a BERT?")
        return token_id

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        origins: list[np.ndarray | None] = [None] * len(texts)
        seen = texts
        if self._lowercase_first and texts:
            seen, origins = zip(*map(span_maps.lowercase, texts))  # type: ignore[assignment]
        run = self._tokenizer.encode_batch if spans else self._tokenizer.encode_batch_fast
        encodings = run(list(seen), add_special_tokens=False)
        return [
            Tokens(
                encoding.tokens,
                np.array(encoding.ids, np.int32),
                self._spans(encoding.offsets, text, origin) if spans else None,
            )
            for encoding, text, origin in zip(encodings, texts, origins)
        ]

    @staticmethod
    def _spans(offsets, text: str, origins: np.ndarray | None) -> np.ndarray:
        spans = np.array(offsets, np.int32).reshape(-1, 2)
        if origins is not None:
            spans = span_maps.through_origins(spans, origins).astype(np.int32)
        return span_maps.without_space(spans, text)


def _word_piece(spec: TokenizerSpec) -> Tokenizer:
    """`vocab.txt`, one token a line, as google-research/bert and Hugging Face's BertTokenizer read it."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models, normalizers, pre_tokenizers

    lines = Path(spec.path).read_text("utf-8").split("\n")
    if not lines[-1]:
        del lines[-1]
    vocabulary = {line.strip(): index for index, line in enumerate(lines)}
    for token in (UNKNOWN, CLS, SEP):
        if token not in vocabulary:
            raise ValueError(f"{spec.path}: has no {token}; is it the vocabulary of a BERT?")
    tokenizer = Library(
        models.WordPiece(
            vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=spec.max_word_length
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=spec.chinese_characters,
        strip_accents=spec.strip_accents,
        lowercase=bool(spec.lowercase),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _Library(tokenizer, spec, CLS, SEP, UNKNOWN)


def _tokenizer_json(spec: TokenizerSpec) -> Tokenizer:
    """`tokenizer.json`: all rules are in the file, but for what `tokenizer_config.json` says otherwise."""
    from tokenizers import Tokenizer as Library
    from tokenizers import normalizers

    tokenizer = Library.from_file(spec.path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    specials = tokenizer.encode("").tokens
    if len(specials) != 2:
        raise ValueError(
            f"{spec.path}: puts {specials} around a text; a BERT wants one token before it and one after"
        )
    normalizer = tokenizer.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        if spec.lowercase is not None:
            normalizer.lowercase = spec.lowercase
        if spec.strip_accents is not None:
            normalizer.strip_accents = spec.strip_accents
        tokenizer.normalizer = normalizer
    elif spec.lowercase is not None:
        raise ValueError(
            f"--do_lower_case: {spec.path} has its own rules for case; leave the flag away (auto)"
        )
    library = _Library(tokenizer, spec, *specials, getattr(tokenizer.model, "unk_token", None))
    library.separators = tokenizer.num_special_tokens_to_add(is_pair=True) - len(specials)
    library.segments = any(tokenizer.encode("a", "b").type_ids)
    return library


class _SentencePiece:
    """Pieces of a SentencePiece model, with a vocabulary that says which id each has."""

    separators, segments = 1, True

    def __init__(self, spec: TokenizerSpec, vocabulary: Mapping[str, int], cls: str, sep: str):
        import sentencepiece

        self._processor = sentencepiece.SentencePieceProcessor(model_file=spec.path)
        for token in (cls, sep):
            if token not in vocabulary:
                raise ValueError(f"{spec.vocabulary or spec.path}: has no {token}; is it a BERT's?")
            piece = self._processor.piece_to_id(token)
            if piece != self._processor.unk_id() and not self._processor.is_control(piece):
                raise ValueError(
                    f"{spec.path}: {token} is an ordinary piece here, so that a text could not be told from a"
                    f" special token; train it with --control_symbols={token}"
                )
        self._lowercase = bool(spec.lowercase) or spec.lowercase_first
        self.cls, self.sep = (cls, vocabulary[cls]), (sep, vocabulary[sep])
        # Special tokens are not for texts: the pieces of a text that spell one are unknown.
        self._ids = {
            piece: index
            for piece, index in vocabulary.items()
            if not self._processor.is_control(self._processor.piece_to_id(piece))
        }
        self.size = max(vocabulary.values()) + 1
        self.unknown = 0

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        lowered = [span_maps.lowercase(text) if self._lowercase else (text, None) for text in texts]
        pieces = self._processor.encode([low for low, _ in lowered], out_type=str, num_threads=1)
        return [
            Tokens(
                row,
                np.array([self._ids.get(piece, self.unknown) for piece in row], np.int32),
                self._spans(row, text, low, origins) if spans else None,
            )
            for row, text, (low, origins) in zip(pieces, texts, lowered)
        ]

    def _spans(self, pieces, text: str, low: str, origins: np.ndarray | None) -> np.ndarray:
        """[T, 2] int32: the pieces laid along the normalized text, whose places in `low` the library tells."""
        if not pieces:
            return np.zeros((0, 2), np.int32)
        _, offsets = self._processor.normalize(low, with_offsets=True)
        offsets = np.array(offsets)
        edges = np.array(list(itertools.accumulate(self._lengths(pieces), initial=0)))
        # A character of the normalized text ends where the next one from another place begins.
        following = np.unique(offsets)
        ends = np.append(following, len(low))[np.searchsorted(following, offsets, side="right")]
        starts = offsets[edges[:-1]]
        stops = ends[np.maximum(edges[1:] - 1, edges[:-1])]
        spans = np.stack([starts, stops], axis=1)
        if origins is not None:
            spans = span_maps.through_origins(spans, origins)
        spans = span_maps.without_space(spans.astype(np.int32), text)
        if pieces[0] == "▁" and not text[: spans[0, 1]].isspace():
            spans[0, 1] = spans[
                0, 0
            ]  # the space that the model puts before a text is nowhere in it
        return spans

    def _lengths(self, pieces: Sequence[str]) -> list[int]:
        """Characters of the normalized text that each piece takes; of a character's bytes the last one takes it."""
        lengths, waiting = [], 0
        for piece in pieces:
            if not self._processor.is_byte(self._processor.piece_to_id(piece)):
                lengths.append(len(piece))
                continue
            first = int(piece[1:-1], 16)
            if waiting == 0:
                waiting = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            waiting -= 1
            lengths.append(int(waiting == 0))
        return lengths


def _sentence_piece(spec: TokenizerSpec) -> Tokenizer:
    """bert-japanese's tokenizer: pieces of the lower-cased text, looked up in `.vocab`; unknown ones have id 0.

    Source: github.com/yoheikikuta/bert-japanese, tokenization_sentencepiece.py.
    """
    lines = Path(spec.vocabulary).read_text("utf-8").split("\n")
    vocabulary = {line.split("\t")[0]: index for index, line in enumerate(lines) if line}
    return _SentencePiece(spec, vocabulary, CLS, SEP)


def _xlm_roberta(spec: TokenizerSpec) -> Tokenizer:
    """XLM-RoBERTa's numbering of a SentencePiece model: fairseq's four special tokens, then the pieces one later.

    Source: transformers, XLMRobertaTokenizer.
    """
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=spec.path)
    vocabulary = {processor.id_to_piece(i): i + 1 for i in range(3, processor.get_piece_size())}
    vocabulary |= {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    tokenizer = _SentencePiece(spec, vocabulary, "<s>", "</s>")
    tokenizer.unknown, tokenizer.separators, tokenizer.segments = vocabulary["<unk>"], 2, False
    return tokenizer


TOKENIZERS: Mapping[str, Callable[[TokenizerSpec], Tokenizer]] = {
    "wordpiece": _word_piece,
    "tokenizer.json": _tokenizer_json,
    "sentencepiece": _sentence_piece,
    "xlm_roberta": _xlm_roberta,
}
