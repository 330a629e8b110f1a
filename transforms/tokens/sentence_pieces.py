"""SentencePiece models: the pieces of a text, their numbers, and where each stands in the text."""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from corpusvec.transforms.ranges import edges_of
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokens import TokenColumns, Tokenizer, Tokens, joined


class _Pieces(Sequence[str]):
    """A text's pieces as strings, made when they are looked at, which most never are."""

    __slots__ = ("_length", "_processor", "_text")

    def __init__(self, processor, text: str, length: int):
        self._processor, self._text, self._length = processor, text, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place):
        return self._processor.encode(self._text, out_type=str)[place]

    def __iter__(self):
        return iter(self[:])


class _SentencePieces:
    """Pieces of a SentencePiece model; `vocabulary` says which id each has, others are unknown.
    `special` are the tokens around a text, where there are any.
    """

    unknown: int | None
    cls: tuple[str, int] | None
    sep: tuple[str, int] | None

    separators, segments, pairs, strings = 1, True, True, False
    _in_prompts: tuple[str, ...] = ()  # special tokens that the original finds in a prompt

    def __init__(
        self,
        spec: TokenizerSpec,
        processor,
        vocabulary: Mapping[str, int],
        special: tuple[str, str] | None,
        unknown: int,
    ):
        for token in special or ():
            if token not in vocabulary:
                raise ValueError(f"{spec.vocabulary or spec.path}: has no {token}; is it a BERT's?")
            piece = processor.piece_to_id(token)
            if piece != processor.unk_id() and not processor.is_control(piece):
                raise ValueError(
                    f"{spec.path}: {token} is an ordinary piece here, so that a text could not be"
                    f" told from a special token; train it with --control_symbols={token}"
                )
        around = [(token, vocabulary[token]) for token in special or ()]
        self.cls, self.sep = around or (None, None)
        self.unknown, self.size = unknown, max(vocabulary.values()) + 1
        self._processor = processor
        self._lowercase = bool(spec.lowercase) or spec.lowercase_first
        # sentence-transformers lower-cases character by character, which knows no final sigma.
        self._by_character = spec.lowercase_first
        # Special tokens are not for texts: unknown characters that spell one are unknown.
        self._ids = {
            piece: number
            for piece, number in vocabulary.items()
            if piece not in dict(around) and not processor.is_control(processor.piece_to_id(piece))
        }
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        self._numbers = self._looked_up(pieces)
        bytes_ = {f"<0x{byte:02X}>": byte for byte in range(256)}
        has_bytes = processor.is_byte(processor.piece_to_id("<0x00>"))
        self._bytes = bytes_ if has_bytes else {}

    def spelled(self, prompt: str) -> str:
        for token in self._in_prompts:
            if token in prompt:
                raise ValueError(
                    f"--prompt={prompt!r}: holds the special token {token}, which is found with a"
                    " tokenizer.json alone; save the tokenizer again, so that the folder has one"
                )
        return prompt

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        if self._by_character:
            texts = [text.replace("Σ", "σ") for text in texts]
        lowered = [span_maps.lowercase(text) if self._lowercase else (text, None) for text in texts]
        lows = [low for low, _ in lowered]
        if not (spans or self._names_unknown):
            return self._by_number(lows)
        pieces = self._processor.encode(lows, out_type=str, num_threads=1)
        return [
            Tokens(
                row,
                self._looked_up(row),
                self._spans(row, text, low, origins) if spans else None,
            )
            for row, text, (low, origins) in zip(pieces, texts, lowered)
        ]

    def encode_columns(self, texts: Sequence[str], spans: bool, strings: bool) -> TokenColumns:
        """The same for many; ids alone come on all cores, and no list is made of each text's."""
        if spans or strings or self._names_unknown:
            return joined(self.encode(texts, spans), strings)
        if self._by_character:
            texts = [text.replace("Σ", "σ") for text in texts]
        lows = [text.lower() for text in texts] if self._lowercase else list(texts)
        rows = self._processor.encode(lows)
        numbers = array("i")
        for row in rows:
            numbers.fromlist(row)
        edges = edges_of(np.fromiter(map(len, rows), np.int64, len(rows)))
        return TokenColumns(edges, self._numbers[np.frombuffer(numbers, np.int32)], None)

    def _looked_up(self, pieces: Sequence[str]) -> np.ndarray:
        return np.array([self._ids.get(piece, self.unknown) for piece in pieces], np.int32)

    @functools.cached_property
    def _names_unknown(self) -> bool:
        """Whether the vocabulary has what no text is cut into, and is an unknown piece."""
        processor = self._processor
        known = (piece for piece, number in self._ids.items() if number != self.unknown)
        pieces = map(processor.piece_to_id, known)
        return any(n == processor.unk_id() or processor.is_unused(n) for n in pieces)

    def _by_number(self, texts: Sequence[str]) -> list[Tokens]:
        """The same as by strings, and faster."""
        rows = self._processor.encode(texts, num_threads=1)
        stops = list(itertools.accumulate(map(len, rows), initial=0))
        ids = self._numbers[np.fromiter(itertools.chain.from_iterable(rows), np.int32, stops[-1])]
        return [
            Tokens(_Pieces(self._processor, text, stop - start), ids[start:stop], None)
            for text, start, stop in zip(texts, stops, stops[1:])
        ]

    def _spans(self, pieces, text: str, low: str, origins: np.ndarray | None) -> np.ndarray:
        """[T, 2] int32: the pieces laid along the normalized text; the library tells its places."""
        if not pieces:
            return np.zeros((0, 2), np.int32)
        _, offsets = self._processor.normalize(low, with_offsets=True)
        spans = span_maps.along(self._lengths(pieces), offsets, len(low))
        if origins is not None:
            spans = span_maps.through_origins(spans, origins)
        blanks = np.array([piece == "▁" for piece in pieces])
        spans = span_maps.without_space(spans, text, blanks)
        return spans.astype(np.int32)

    def _lengths(self, pieces: Sequence[str]) -> list[int]:
        """Characters of the normalized text that each piece takes; the last of a character's bytes
        takes it.
        """
        if not self._bytes:
            return list(map(len, pieces))
        lengths, waiting = [], 0
        for piece in pieces:
            byte = self._bytes.get(piece)
            if byte is None:
                lengths.append(len(piece))
                continue
            if waiting == 0:
                waiting = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            waiting -= 1
            lengths.append(int(waiting == 0))
        return lengths


def _processor(spec: TokenizerSpec):
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=spec.path)


def bert_japanese(spec: TokenizerSpec) -> Tokenizer:
    """bert-japanese's tokenizer: pieces of the lower-cased text, looked up in `.vocab`; unknown
    ones have id 0.

    Source: yoheikikuta/bert-japanese, tokenization_sentencepiece.py, FullTokenizer: a piece is what
    is left of its line without white space, the last of its name counts. Lines as in
    google-research/bert.
    """
    processor = _processor(spec)
    text = Path(spec.vocabulary).read_bytes().decode().replace("\r", "")
    vocabulary = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n")):
        piece, *scores = line.split("\t")
        if len(scores) != 1:
            raise ValueError(
                f"{spec.vocabulary}: line {number + 1} is {line!r}; expected a piece, a"
                " tab and a score"
            )
        vocabulary[piece.strip()] = number
    return _SentencePieces(spec, processor, vocabulary, ("[CLS]", "[SEP]"), unknown=0)


def xlm_roberta(spec: TokenizerSpec) -> Tokenizer:
    """XLM-RoBERTa's numbering of a SentencePiece model: fairseq's four special tokens, then the
    pieces one later.

    Source: transformers, tokenization_xlm_roberta.py, XLMRobertaTokenizer.
    """
    processor = _processor(spec)
    special = [processor.id_to_piece(i) for i in range(min(3, processor.get_piece_size()))]
    if special != ["<unk>", "<s>", "</s>"]:
        raise ValueError(f"{spec.path}: starts with {special}; XLM-R's with <unk>, <s>, </s>")
    vocabulary = {processor.id_to_piece(i): i + 1 for i in range(3, processor.get_piece_size())}
    vocabulary |= {"<s>": 0, "</s>": 2, "<unk>": 3}
    tokenizer = _SentencePieces(spec, processor, vocabulary, ("<s>", "</s>"), vocabulary["<unk>"])
    tokenizer.separators, tokenizer.segments = 2, False
    if not spec.split_special:
        tokenizer._in_prompts = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
    return tokenizer


def own_numbers(spec: TokenizerSpec) -> Tokenizer:
    """The model's own pieces and numbers, among them [CLS] and [SEP], as in ALBERT's."""
    processor = _processor(spec)
    vocabulary = _numbers(processor)
    return _SentencePieces(spec, processor, vocabulary, ("[CLS]", "[SEP]"), processor.unk_id())


def plain(spec: TokenizerSpec) -> Tokenizer:
    """The model's own pieces and numbers, with nothing around a text.

    Source: the Universal Sentence Encoder Lite's notebook, `sp.EncodeAsIds`.
    """
    processor = _processor(spec)
    tokenizer = _SentencePieces(spec, processor, _numbers(processor), None, processor.unk_id())
    tokenizer.separators, tokenizer.segments, tokenizer.pairs = 0, False, False
    return tokenizer


def _numbers(processor) -> dict[str, int]:
    return {processor.id_to_piece(number): number for number in range(processor.get_piece_size())}
