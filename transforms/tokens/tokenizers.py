"""Texts to tokens, each by the program that its model was made for, with every token's span.

WordPiece and Hugging Face's tokenizers run in the `tokenizers` library, SentencePiece models in
`sentencepiece`. Special tokens are not added here (`windows` does). Bytes of one character that
became several tokens have its span, each of them. A literal `[CLS]` in a text is
text, unlike in sentence-transformers: what a model's files name as [CLS], [SEP] and so on goes by
names here that no text has, and `spelled` puts them into a prompt.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusvec.transforms.ranges import edges_of
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens import conversions, japanese_words, sentence_pieces, words
from corpusvec.transforms.tokens import spans as span_maps
from corpusvec.transforms.tokens.tokens import Named, TokenColumns, Tokenizer, Tokens

CLS, SEP, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
# What the tokens around and between texts are called, whoever else names them.
STRUCTURE = frozenset({CLS, SEP, UNKNOWN, "[PAD]", "[MASK]"}) | {
    f"<{name}>" for name in ("s", "/s", "pad", "unk", "mask")
}
HUGGING_FACES = ("tokenizer.json", "xlm_roberta", *conversions.KINDS)  # kinds of the `TOKENIZERS`
MARK = "\ufdd0"  # a noncharacter, which begins the names that no text has


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
    the one before a text, the one after, and that for what is unknown, where it has them; `hidden`:
    those that a prompt can hold, and no text; `unfound`: those that neither can.
    """

    separators, segments, pairs, strings = 1, True, True, False
    skips_unknown = False
    unknown: int | None
    cls: tuple[str, int] | None
    sep: tuple[str, int] | None

    def __init__(
        self,
        tokenizer,
        names: Mapping[int, str],
        special: tuple[int | None, int | None, int | None],
        hidden: Sequence[str] = (),
        see: _See | None = None,
        unfound: Sequence[str] = (),
    ):
        self._tokenizer, self._names, self._see = tokenizer, names, see
        self._unfound = unfound
        longest_first = sorted(hidden, key=len, reverse=True)
        self._hidden = re.compile("|".join(map(re.escape, longest_first))) if hidden else None
        cls, sep, unknown = special
        self.cls = None if cls is None else (names[cls], cls)
        self.sep = None if sep is None else (names[sep], sep)
        self.unknown = -1 if unknown is None else unknown
        self.size = max(names) + 1
        blank = tokenizer.token_to_id("Ġ" if _by_bytes(tokenizer) else "▁")
        self._blank = -1 if blank is None else blank
        # It leaves white space out, so that no span begins with any.
        self._has_spaces = type(tokenizer.pre_tokenizer).__name__ != "BertPreTokenizer"

    def spelled(self, prompt: str) -> str:
        for token in self._unfound:
            if token in prompt:
                raise ValueError(
                    f"--prompt={prompt!r}: holds {token}, which the tokenizer's added_tokens do not"
                    " have as a special token that is found as it stands (normalized and"
                    " single_word are false); remove it"
                )
        return self._hidden.sub(lambda token: _hidden(token[0]), prompt) if self._hidden else prompt

    def encode(self, texts: Sequence[str], spans: bool) -> list[Tokens]:
        found = self.encode_columns(texts, spans, strings=False)
        edges = found.edges.tolist()
        return [
            Tokens(
                Named(found.ids[start:stop].tolist(), self._names),
                found.ids[start:stop],
                None if found.spans is None else found.spans[start:stop],
            )
            for start, stop in zip(edges, edges[1:])
        ]

    def encode_columns(self, texts: Sequence[str], spans: bool, strings: bool) -> TokenColumns:
        """The same for many, on all idle cores: the library's threads do not hold Python's lock."""
        seen, origins = self._seen(texts)
        run = self._tokenizer.encode_batch if spans else self._tokenizer.encode_batch_fast
        encodings = run(seen, add_special_tokens=False)
        numbers, lengths = array("i"), []
        for encoding in encodings:
            row = encoding.ids
            lengths.append(len(row))
            numbers.fromlist(row)  # half the time of `np.fromiter` over all
        ids = np.frombuffer(numbers, np.int32)
        edges = edges_of(np.array(lengths, np.int64))
        places = self._places(encodings, seen, texts, origins, ids, edges) if spans else None
        if self.skips_unknown:
            known = ids != self.unknown
            edges, ids = np.append(0, np.cumsum(known))[edges], ids[known]
            places = None if places is None else places[known]
        return TokenColumns(edges, ids, places, None, self._vocabulary if strings else None)

    def _seen(self, texts: Sequence[str]) -> tuple[list[str], list[np.ndarray | None]]:
        """What the library is shown, and where each of that comes from."""
        if not self._see:
            return list(texts), [None] * len(texts)
        found = [self._see(text) for text in texts]
        return [seen for seen, _ in found], [origins for _, origins in found]

    @functools.cached_property
    def _vocabulary(self) -> pa.Array:
        return pa.array([self._names.get(number, "") for number in range(self.size)], pa.string())

    def _places(
        self,
        encodings,
        seen: Sequence[str],
        texts: Sequence[str],
        origins: Sequence[np.ndarray | None],
        ids: np.ndarray,
        edges: np.ndarray,
    ) -> np.ndarray:
        """[N, 2] int32, each in its text."""
        pairs = itertools.chain.from_iterable(encoding.offsets for encoding in encodings)
        flat = itertools.chain.from_iterable(pairs)
        places = np.fromiter(flat, np.int32, 2 * len(ids)).reshape(-1, 2)
        if not self._has_spaces and all(one is None for one in origins):
            return places
        owners = np.repeat(np.arange(len(texts)), np.diff(edges))
        places = places + span_maps.starts_of(seen)[owners][:, None]
        blanks = ids == self._blank if self._has_spaces else None
        return span_maps.in_each(places, owners, texts, origins, blanks)


def _by_bytes(tokenizer) -> bool:
    """Whether its pieces are of bytes, each shown as a letter; a space is Ġ."""
    rules = tokenizer.pre_tokenizer
    return rules is not None and b'"ByteLevel"' in rules.__getstate__()


def _hidden(token: str) -> str:
    """The name that a special token goes by: no piece of a text has both a mark and a space."""
    return f"{MARK} {token}"


def _word_piece(spec: TokenizerSpec) -> Tokenizer:
    """google-research/bert's tokenizer, whose words have up to 200 characters.

    Source: google-research/bert, tokenization.py, FullTokenizer; TensorFlow's `GFile.readline`
    ends lines at line feeds only and drops carriage returns.
    """
    from corpusvec.transforms.tokens.bert_characters import StandIns

    text = Path(spec.path).read_bytes().decode().replace("\r", "")
    lines = [line.strip() for line in text.removesuffix("\n").split("\n")]
    vocabulary, special = _numbered(lines, spec)
    stand_ins = StandIns(vocabulary, bool(spec.lowercase))
    tokenizer = _library(stand_ins.vocabulary, UNKNOWN, 200, stand_ins.normalizer)
    return _Library(tokenizer, dict(enumerate(lines)), special, see=stand_ins.see)


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


def _library(vocabulary: dict[str, int], unknown: str, max_word_length: int, normalizer):
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    model = models.WordPiece(
        vocabulary, unk_token=unknown, max_input_chars_per_word=max_word_length
    )
    tokenizer = Library(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _tokenizer_json(spec: TokenizerSpec) -> Tokenizer:
    """`tokenizer.json` has all rules, but for what `tokenizer_config.json` says otherwise."""
    from tokenizers import Tokenizer as Library

    return _by_its_rules(Library.from_file(spec.path), spec)


def _converted(spec: TokenizerSpec) -> Tokenizer:
    """Older files, as transformers reads them."""
    return _by_its_rules(conversions.KINDS[spec.kind](spec), spec)


def _by_its_rules(tokenizer, spec: TokenizerSpec) -> Tokenizer:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    around = (None, None) if spec.bare else _around(tokenizer, spec)
    _override(tokenizer, spec)
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    unknown = _unknown(tokenizer, names)
    added = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    ends = [("post_processor", names[number]) for number in around if number is not None]
    hidden = _to_hide(spec, tokenizer, added, *ends, ("model.unk_token", names.get(unknown)))
    found, unfound = _in_prompts(spec, hidden, tokenizer, added)
    pair = None if spec.bare else _pair_rules(tokenizer, *around)
    renamed = _without(hidden, tokenizer, added, spec)
    special = (*around, None if unknown < 0 else unknown)
    library = _Library(renamed, names, special, found, unfound=unfound)
    library.pairs = pair is not None
    library.separators, segments = pair or (0, False)
    library.segments = segments and spec.segments
    library.skips_unknown = spec.skips_unknown
    return library


def _unknown(tokenizer, names: Mapping[int, str]) -> int:
    """The id for what the vocabulary does not have; -1 where there is none."""
    if (token := getattr(tokenizer.model, "unk_token", None)) is not None:
        number = tokenizer.token_to_id(token)
        return -1 if number is None else number
    # That of Unigram is a number, which the library does not tell.
    found = re.search(rb'"unk_id":(\d+)', tokenizer.model.__getstate__())
    return int(found[1]) if found and int(found[1]) in names else -1


def _around(tokenizer, spec: TokenizerSpec) -> tuple[int | None, int | None]:
    """The tokens that stand before and after a text, where there are any.

    Raises `ValueError` where there are more, or a text has another segment than 0.
    """
    words = itertools.chain(["a"], tokenizer.get_vocab())
    word = next(word for word in words if tokenizer.encode(word, add_special_tokens=False).ids)
    whole = tokenizer.encode(word)
    own = [place for place, text in enumerate(whole.sequence_ids) if text == 0]
    before, after = whole.ids[: own[0]], whole.ids[own[-1] + 1 :]
    if len(before) > 1 or len(after) > 1:
        raise ValueError(
            f"{spec.path}: puts {tokenizer.encode('').tokens} around a text; implemented are one"
            " token before it and one after it, or none"
        )
    if any(whole.type_ids):
        raise ValueError(
            f"{spec.path}: post_processor gives a single text the segments {whole.type_ids};"
            " implemented is 0"
        )
    return next(iter(before), None), next(iter(after), None)


def _pair_rules(tokenizer, cls: int | None, sep: int | None) -> tuple[int, bool] | None:
    """How many separators are between the texts of a pair, and whether B has a segment of its own.

    None where anything else stands around the texts, or the segments are others than 0 for the
    first text and 0 or 1 for the second: the model was not made for pairs.
    """
    pair = tokenizer.encode("a", "b")
    a, b = (tokenizer.encode(text, add_special_tokens=False).ids for text in "ab")
    before = [] if cls is None else [cls]
    after = [] if sep is None else [sep]
    separators = len(pair) - len(a) - len(b) - len(before) - len(after)
    of_b = pair.type_ids[-1] if b else 0
    segments = [0] * (len(before) + len(a) + separators) + [of_b] * (len(b) + len(after))
    whole = [*before, *a, *after * separators, *b, *after]
    fits = pair.ids == whole and pair.type_ids == segments and of_b in (0, 1)
    return (separators, bool(of_b)) if fits and separators else None


def _to_hide(
    spec: TokenizerSpec, tokenizer, added: Mapping[str, Any], *found: tuple[str, str | None]
) -> list[str]:
    """The special tokens that no text can hold, of those that the vocabulary has.

    Raises `ValueError` where one is an ordinary piece, which texts have.
    """
    named = [(key, token) for key, token in (*spec.named, *found) if token]
    for key, token in named:
        is_special = token in added and added[token].special and not token.isalnum()
        if not (token in STRUCTURE or is_special) and _is_piece(token, tokenizer):
            raise ValueError(
                f"{spec.path}: {key}, here or in the settings beside it, is {token!r}, an ordinary"
                " piece, so that a text could not be told from a special token; name another"
            )
    special = STRUCTURE.union(token for _, token in named)
    return sorted(token for token in special if tokenizer.token_to_id(token) is not None)


def _is_piece(token: str, tokenizer) -> bool:
    """Whether the rules alone, which find no special tokens, make the token of a text."""
    number = tokenizer.token_to_id(token)
    if number is None:
        return False
    words = [token]
    if tokenizer.normalizer:
        words = [tokenizer.normalizer.normalize_str(token)]
    if tokenizer.pre_tokenizer:
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(words[0])]
    return any(piece.id == number for word in words for piece in tokenizer.model.tokenize(word))


def _in_prompts(
    spec: TokenizerSpec, hidden: Sequence[str], tokenizer, added: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Which hidden tokens a prompt can hold, and which not, since the original has others there."""
    named = dict(spec.named).values()
    found, unfound = [], []
    for token in hidden:
        if spec.split_special or not (token in added or token in named):
            if _is_piece(token, tokenizer):
                unfound.append(token)
        elif token in added and (added[token].normalized or added[token].single_word):
            unfound.append(token)
        else:
            found.append(token)
    return found, unfound


def _findable(token: str, added):
    """A hidden token for the library, which finds it in a prompt by its name. `added` is how the
    file has it found, None where it does not say.
    """
    from tokenizers import AddedToken

    flags = {} if added is None else {"lstrip": added.lstrip, "rstrip": added.rstrip}
    return AddedToken(_hidden(token), special=True, normalized=False, **flags)


def _without(hidden: Sequence[str], tokenizer, added: Mapping[str, Any], spec: TokenizerSpec):
    """The tokenizer, where special tokens go by their hidden names: among the tokens that are found
    before its rules are asked, and as pieces. In a text for XLM-R, `<s>` would be the best piece
    for `<s>`.
    """
    # Its rules may hold such names too, and keep them.
    normalizer, tokenizer.normalizer = tokenizer.normalizer, None
    pre_tokenizer, tokenizer.pre_tokenizer = tokenizer.pre_tokenizer, None
    state = _without_merges(hidden, tokenizer)
    for token in hidden:
        old, new = (json.dumps(name, ensure_ascii=False) for name in (token, _hidden(token)))
        state = state.replace(old, new)
    renamed = type(tokenizer).from_str(state)
    renamed.normalizer, renamed.pre_tokenizer = normalizer, pre_tokenizer
    renamed.add_special_tokens([_findable(token, added.get(token)) for token in hidden])
    renamed.encode_special_tokens = spec.split_special
    return renamed


def _without_merges(hidden: Sequence[str], tokenizer) -> str:
    """The tokenizer as JSON, where no two pieces become a hidden token."""
    state = tokenizer.to_str()
    for token in hidden:
        for cut in range(1, len(token)):
            parts = [token[:cut], token[cut:]]
            if all(tokenizer.token_to_id(part) is not None for part in parts):
                merge = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
                for shown, rest in ((f"{merge},", ""), (f",{merge}", ""), (f"[{merge}]", "[]")):
                    state = state.replace(shown, rest)
    return state


def _override(tokenizer, spec: TokenizerSpec) -> None:
    from tokenizers import normalizers, pre_tokenizers

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
            f"--do_lower_case: {spec.path} has its own rules for case; omit the flag (auto)"
        )
    if spec.lowercase_first:
        tokenizer.normalizer = _lowered_first(normalizer, spec)
    words = tokenizer.pre_tokenizer
    if spec.prefix_space is not None and isinstance(words, pre_tokenizers.ByteLevel):
        words.add_prefix_space = spec.prefix_space
        tokenizer.pre_tokenizer = words


def _lowered_first(normalizer, spec: TokenizerSpec):
    """Source: sentence-transformers, Transformer and _has_lowercase: lower case comes before the
    tokenizer's rules, where it is not among them, and after the tokens that are found before those.
    """
    from tokenizers import normalizers

    parts = normalizer if isinstance(normalizer, normalizers.Sequence) else [normalizer]
    lowered = any(isinstance(part, normalizers.Lowercase) for part in parts)  # type: ignore[union-attr]
    if not spec.lowercase_first or lowered or getattr(normalizer, "lowercase", False):
        return normalizer
    rest = [] if normalizer is None else [normalizer]
    return normalizers.Sequence([normalizers.Lowercase(), *rest])


TOKENIZERS: Mapping[str, Callable[[TokenizerSpec], Tokenizer]] = {
    "wordpiece": _word_piece,
    "tokenizer.json": _tokenizer_json,
    "mecab": japanese_words.mecab,
    "sentencepiece": sentence_pieces.bert_japanese,
    "xlm_roberta": sentence_pieces.xlm_roberta,
    "sentencepiece_ids": sentence_pieces.own_numbers,
    "pieces": sentence_pieces.plain,
    "words": words.split_at_spaces,
    **dict.fromkeys(conversions.KINDS, _converted),
}
