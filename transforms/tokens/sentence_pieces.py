"""SentencePiece models: the pieces of a text, their numbers, and where each stands in the text."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusvec.transforms.ranges import edges_of
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokens import TokenColumns, Tokenizer, Tokens

_NONE = np.zeros(0, np.int32)


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
        self._numbers = self._looked_up(pa.array(pieces, pa.string()))
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
        found = self.encode_columns(texts, spans, strings=spans)
        lows, _ = self._lowered(texts)
        return [
            Tokens(
                _Pieces(self._processor, low, stop - start)
                if found.names is None
                else found.names[start:stop].to_pylist(),
                found.ids[start:stop],
                None if found.spans is None else found.spans[start:stop],
            )
            for low, (start, stop) in zip(lows, itertools.pairwise(found.edges.tolist()))
        ]

    def encode_columns(self, texts: Sequence[str], spans: bool, strings: bool) -> TokenColumns:
        """The same for many; ids alone come on all cores, and no list is made of each text's."""
        lows, origins = self._lowered(texts)
        if not (spans or strings or self._names_unknown):
            rows = self._processor.encode(lows, return_type="numpy") if lows else []
            return TokenColumns(_edges(rows), self._numbers[np.concatenate([_NONE, *rows])], None)
        rows = self._processor.encode(lows, out_type=str, num_threads=1) if lows else []
        edges = _edges(rows)
        names = pa.array(list(itertools.chain.from_iterable(rows)), pa.string())
        places = self._spans(rows, edges, names, texts, lows, origins) if spans else None
        return TokenColumns(edges, self._looked_up(names), places, names if strings else None)

    def _lowered(self, texts: Sequence[str]) -> tuple[list[str], list[np.ndarray | None]]:
        """What the model sees of each text, and the origins that `spans.lowercase` gives."""
        if self._by_character:
            texts = [text.replace("Σ", "σ") for text in texts]
        if not self._lowercase:
            return list(texts), [None] * len(texts)
        lows, origins = zip(*map(span_maps.lowercase, texts)) if texts else ((), ())
        return list(lows), list(origins)

    def _looked_up(self, pieces: pa.Array) -> np.ndarray:
        names, ids = self._known
        return ids[pc.index_in(pieces, names).fill_null(-1).to_numpy()]

    @functools.cached_property
    def _known(self) -> tuple[pa.Array, np.ndarray]:
        """Pieces, and the id of each; at the end that of unknown ones."""
        ids = np.array([*self._ids.values(), self.unknown], np.int32)
        return pa.array(list(self._ids), pa.string()), ids

    @functools.cached_property
    def _names_unknown(self) -> bool:
        """Whether the vocabulary has what no text is cut into, and is an unknown piece."""
        processor = self._processor
        known = (piece for piece, number in self._ids.items() if number != self.unknown)
        pieces = map(processor.piece_to_id, known)
        return any(n == processor.unk_id() or processor.is_unused(n) for n in pieces)

    def _spans(
        self,
        rows: Sequence[Sequence[str]],
        edges: np.ndarray,
        names: pa.Array,
        texts: Sequence[str],
        lows: Sequence[str],
        origins: Sequence[np.ndarray | None],
    ) -> np.ndarray:
        """[T, 2] int32 of all pieces, each in its text: they are laid along the normalized texts,
        of which the library tells where each character comes from. All texts are gone through as
        if they were one, each ended by a character more.
        """
        normal = self._processor.normalize(lows, with_offsets=True)
        lengths = self._lengths(rows, names)
        owners = np.repeat(np.arange(len(rows)), np.diff(edges))
        spans = span_maps.along_each(lengths, owners, [offsets for _, offsets in normal], lows)
        blanks = pc.equal(names, "▁").to_numpy(zero_copy_only=False)
        return span_maps.in_each(spans, owners, texts, origins, blanks)

    def _lengths(self, rows: Sequence[Sequence[str]], names: pa.Array) -> np.ndarray:
        """Characters of the normalized text that each piece takes."""
        if not self._bytes:
            return pc.utf8_length(names).to_numpy()
        lengths = itertools.chain.from_iterable(map(self._lengths_with_bytes, rows))
        return np.fromiter(lengths, np.int64, len(names))

    def _lengths_with_bytes(self, pieces: Sequence[str]) -> list[int]:
        """The same of one text; the last of a character's bytes takes it."""
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


def _edges(rows: Sequence[Sequence]) -> np.ndarray:
    """Where the pieces of each text begin, and all end."""
    return edges_of(np.array([len(row) for row in rows], np.int64))


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
