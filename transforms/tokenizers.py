"""Texts to tokens, each by the program that its model was made for, with every token's span.

WordPiece and Hugging Face's tokenizers run in the `tokenizers` library, SentencePiece models in
`sentencepiece`. Special tokens are not added here (`windows` does) and never found in a text: a
literal `[CLS]` is text, unlike in sentence-transformers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from transforms import sentence_pieces
from transforms import spans as span_maps
from transforms.specs import TokenizerSpec
from transforms.tokens import Tokenizer, Tokens

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
    """A tokenizer of the `tokenizers` library, with its special tokens taken as text.

    `names`: the tokens by id, where the library does not know better.
    """

    separators, segments = 1, True

    def __init__(
        self,
        tokenizer,
        path: str,
        special: tuple[str, str, str | None],
        names: Mapping[int, str] | None,
        see: _See | None,
    ):
        self._tokenizer, self._names, self._see = tokenizer, names, see
        self._tokenizer.encode_special_tokens = True  # lost on pickling: set here, in the worker
        for token in special:
            if token is not None and tokenizer.token_to_id(token) is None:
                raise ValueError(f"{path}: has no {token}; is it the vocabulary of a BERT?")
        cls, sep, unknown = special
        self.cls, self.sep = (cls, tokenizer.token_to_id(cls)), (sep, tokenizer.token_to_id(sep))
        self.unknown = -1 if unknown is None else tokenizer.token_to_id(unknown)
        self.size = max(tokenizer.get_vocab().values()) + 1
        pre_tokenizer = type(tokenizer.pre_tokenizer).__name__
        self._has_spaces = pre_tokenizer != "BertPreTokenizer"  # which leaves white space out

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
        ids = encoding.ids
        tokens = [self._names[n] for n in ids] if self._names else encoding.tokens
        if not spans:
            return Tokens(tokens, np.array(ids, np.int32), None)
        flat = itertools.chain.from_iterable(encoding.offsets)
        places = np.fromiter(flat, np.int32, 2 * len(ids)).reshape(-1, 2)
        if origins is not None:
            places = span_maps.through_origins(places, origins)
        if self._has_spaces:
            places = span_maps.without_space(places, text)
        return Tokens(tokens, np.array(ids, np.int32), places.astype(np.int32, copy=False))


def _word_piece(spec: TokenizerSpec) -> Tokenizer:
    """google-research/bert's tokenizer, whose words have up to 200 characters.

    Source: google-research/bert, tokenization.py, FullTokenizer; TensorFlow's `GFile.readline`
    ends lines at line feeds only and drops carriage returns.
    """
    from transforms.stand_ins import StandIns

    text = Path(spec.path).read_bytes().decode().replace("\r", "")
    lines = [line.strip() for line in text.removesuffix("\n").split("\n")]
    stand_ins = StandIns(_numbered(lines, spec), bool(spec.lowercase))
    tokenizer = _library(stand_ins.vocabulary, 200, stand_ins.normalizer)
    names = dict(enumerate(lines))
    return _Library(tokenizer, spec.path, (CLS, SEP, UNKNOWN), names, stand_ins.see)


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
    tokenizer = _library(_numbered(lines, spec), 100, normalizer)
    see = span_maps.lowercase if spec.lowercase_first else None
    return _Library(tokenizer, spec.path, (CLS, SEP, UNKNOWN), dict(enumerate(lines)), see)


def _numbered(lines: Sequence[str], spec: TokenizerSpec) -> dict[str, int]:
    """A token that stands twice has the number of its last line, in either original."""
    vocabulary = {line: number for number, line in enumerate(lines)}
    for token in (UNKNOWN, CLS, SEP):
        if token not in vocabulary:
            raise ValueError(f"{spec.path}: has no {token}; is it the vocabulary of a BERT?")
    return vocabulary


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
    around = tokenizer.encode("").tokens
    if len(around) != 2:
        raise ValueError(
            f"{spec.path}: puts {around} around a text;"
            " a BERT wants one token before it and one after"
        )
    _override(tokenizer, spec)
    unknown = getattr(tokenizer.model, "unk_token", None)
    if isinstance(tokenizer.model, models.Unigram):  # SentencePiece's, which does not tell
        unknown = "<unk>"
    names = None
    if isinstance(tokenizer.model, models.WordPiece):  # quicker; others name unknown ones by text
        names = {number: token for token, number in tokenizer.get_vocab().items()}
    see = span_maps.lowercase if spec.lowercase_first else None
    cls, sep = around
    library = _Library(tokenizer, spec.path, (cls, sep, unknown), names, see)
    library.separators = tokenizer.num_special_tokens_to_add(is_pair=True) - len(around)
    library.segments = any(tokenizer.encode("a", "b").type_ids)
    return library


def _override(tokenizer, spec: TokenizerSpec) -> None:
    from tokenizers import normalizers

    normalizer = tokenizer.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        if spec.lowercase is not None:
            normalizer.lowercase = spec.lowercase
        if spec.strip_accents is not None:
            normalizer.strip_accents = spec.strip_accents
        if spec.chinese_characters is not None:
            normalizer.handle_chinese_chars = spec.chinese_characters
        tokenizer.normalizer = normalizer
    elif spec.lowercase is not None:
        raise ValueError(
            f"--do_lower_case: {spec.path} has its own rules for case; leave the flag away (auto)"
        )


TOKENIZERS: Mapping[str, Callable[[TokenizerSpec], Tokenizer]] = {
    "wordpiece": _word_piece,
    "bert_fast": _bert_fast,
    "tokenizer.json": _tokenizer_json,
    "sentencepiece": sentence_pieces.bert_japanese,
    "xlm_roberta": sentence_pieces.xlm_roberta,
}
