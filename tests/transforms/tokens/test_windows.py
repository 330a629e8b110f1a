"""Windows lose no token and own none twice, however a text is cut; what is dropped is said."""

import re

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import OWN, PROMPT, SPECIAL, Alignment, Document
from corpusvec.transforms.tokens.tokenizers import Tokens
from corpusvec.transforms.tokens.windows import WindowPlan, cut, truncated
from tests.oracles import assemble

S, P, O = SPECIAL, PROMPT, OWN  # noqa: E741


class Letters:
    """Whatever `pattern` matches is a token; the id is its first code point."""

    cls, sep, unknown, size = ("^", 1), ("|", 2), ord("?"), 0x110000
    segments, strings = True, False

    def __init__(self, separators=1, pattern=r"\S"):
        self.separators, self.pattern = separators, pattern

    def spelled(self, prompt):
        return prompt

    def encode(self, texts, spans):
        return [self._tokens(text) for text in texts]

    def _tokens(self, text):
        found = list(re.finditer(self.pattern, text))
        tokens = [match[0] for match in found]
        spans = np.array([match.span() for match in found], np.int32).reshape(-1, 2)
        return Tokens(tokens, np.array([ord(token[0]) for token in tokens], np.int32), spans)


class Empty(Exception):
    """A document without a token of its own."""


class Refused(Exception):
    """A document that is told why it has no windows."""


def windows_of(document, tokenizer=None, **plan):
    # Beside others: what becomes of one is no matter of the others.
    documents = Documents.of([Document("before", "x y z"), document, Document("behind", "")])
    found = cut(documents, tokenizer or Letters(), WindowPlan(**plan))
    if 1 in found.empty:
        raise Empty
    for row, why in found.refused:
        if row == 1:
            raise Refused(why)
    return list(found.windows.take(found.windows.owners == 1))


def letters(count, first=0x4E00):
    """So many tokens, no two the same."""
    return "".join(chr(first + n) for n in range(count))


@st.composite
def documents_and_plans(draw):
    separators = draw(st.sampled_from([1, 2]))
    a, b = draw(st.integers(0, 40)), draw(st.none() | st.integers(0, 40))
    prompt = draw(st.sampled_from(["", "", "Q: ", "passage: "]))
    if not a and not b:
        a = 1
    unknown = draw(st.sampled_from(["", "??"]))
    document = Document("d", unknown + letters(a), None if b is None else letters(b, 0x6E00))
    length = draw(st.integers(3 + separators, 24))
    room = length - 2 - separators
    overlap = draw(st.none() | st.integers(0, room - 1))
    return document, Letters(separators), length, overlap, prompt


@settings(max_examples=300, deadline=None)
@given(documents_and_plans())
def test_each_token_is_owned_by_exactly_one_window(case):
    """The owned tokens of all windows, in order, are the uncut document."""
    document, tokenizer, length, overlap, prompt = case
    windows = windows_of(document, tokenizer, max_seq_length=length, overlap=overlap, prompt=prompt)
    (whole,) = windows_of(document, tokenizer, max_seq_length=1000, prompt=prompt)
    assert [(w.index, w.count) for w in windows] == [(i, len(windows)) for i in range(len(windows))]
    owned = [slice(w.start, w.stop) for w in windows]
    tokens = sum((w.tokens[own] for w, own in zip(windows, owned)), ())
    assert tokens == whole.tokens
    for name in ("ids", "segments", "roles", "spans"):
        parts = [getattr(w, name)[own] for w, own in zip(windows, owned)]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(whole, name), name)
    sizes = [w.stop - w.start for w in windows]
    assert min(sizes) > 0
    assert [w.position for w in windows] == [sum(sizes[:i]) for i in range(len(windows))]
    assert sum(w.n_unknown for w in windows) == whole.n_unknown
    assert sum(w.n_dropped for w in windows) == 0


@settings(max_examples=300, deadline=None)
@given(documents_and_plans())
def test_each_window_is_a_text_that_the_model_can_read(case):
    """It fits, begins with [CLS], ends with [SEP], and between them is one piece of the document;
    neighbours share the overlap.
    """
    document, tokenizer, length, overlap, prompt = case
    windows = windows_of(document, tokenizer, max_seq_length=length, overlap=overlap, prompt=prompt)
    (whole,) = windows_of(document, tokenizer, max_seq_length=1000, prompt=prompt)
    for window in windows:
        assert len(window) == len(window.tokens) <= length
        assert (window.tokens[0], window.tokens[-1]) == ("^", "|")
        assert (window.roles[0], window.roles[-1]) == (SPECIAL, SPECIAL)
        first = window.position - window.start + 1
        piece = slice(first, first + len(window) - 2)
        assert window.tokens[1:-1] == whole.tokens[piece]
        for name in ("ids", "segments", "roles", "spans"):
            np.testing.assert_array_equal(getattr(window, name)[1:-1], getattr(whole, name)[piece])
        assert window.segments[-1] == window.segments[-2]
    room = length - 2 - (tokenizer.separators if document.pair else 0)
    shared = min(64, room // 4) if overlap is None else overlap
    for one, other in zip(windows, windows[1:]):
        n_one, n_other = (np.count_nonzero(w.roles != SPECIAL) for w in (one, other))
        begins = _content_before(whole, other)
        assert _content_before(whole, one) + n_one - begins == shared
        assert n_one == room
        assert n_other > shared


def _content_before(whole, window):
    """How many content tokens of the document stand before the window's first."""
    first = window.position - window.start + 1
    return np.count_nonzero(whole.roles[:first] != SPECIAL)


@pytest.mark.parametrize(
    ("a", "b", "separators", "length", "overlap", "seen", "owned"),
    [
        ("abc", None, 1, 5, 0, ["^abc|"], ["^abc|"]),
        ("abcd", None, 1, 5, 0, ["^abc|", "^d|"], ["^abc", "d|"]),
        (
            "abcdefghij",
            None,
            1,
            6,
            2,
            ["^abcd|", "^cdef|", "^efgh|", "^ghij|"],
            ["^abc", "de", "fg", "hij|"],
        ),
        ("ab", "xyz", 1, 8, 0, ["^ab|xyz|"], ["^ab|xyz|"]),
        ("abcdefg", "xy", 1, 8, 0, ["^abcde|", "^fg|xy|"], ["^abcde", "fg|xy|"]),
        ("abcde", "xyz", 1, 8, 0, ["^abcde|", "^xyz|"], ["^abcde|", "xyz|"]),
        ("abcdef", "wxyz", 1, 8, 2, ["^abcde|", "^def|wx|", "^wxyz|"], ["^abcd", "ef|w", "xyz|"]),
        ("", "xyz", 1, 8, 0, ["^|xyz|"], ["^|xyz|"]),
        ("", "uvwxyz", 1, 8, 0, ["^|uvwxy|", "^z|"], ["^|uvwxy", "z|"]),
        ("abcdefg", "", 1, 8, 0, ["^abcdef|", "^g|"], ["^abcdef", "g|"]),
        ("ab", "xyz", 2, 9, 0, ["^ab||xyz|"], ["^ab||xyz|"]),
        ("abcdefg", "xy", 2, 9, 0, ["^abcde|", "^fg||xy|"], ["^abcde", "fg||xy|"]),
        ("abcde", "xyz", 2, 9, 0, ["^abcde||", "^xyz|"], ["^abcde||", "xyz|"]),
    ],
    ids=[
        "fits",
        "one too many",
        "overlap is halved",
        "pair fits",
        "boundary inside",
        "boundary at the edge",
        "boundary shared",
        "empty text A",
        "empty text A, cut",
        "empty text B is none",
        "two separators",
        "two separators inside",
        "two separators at the edge",
    ],
)
def test_where_windows_are_cut(a, b, separators, length, overlap, seen, owned):
    windows = windows_of(
        Document("d", a, b), Letters(separators), max_seq_length=length, overlap=overlap
    )
    assert ["".join(w.tokens) for w in windows] == seen
    assert ["".join(w.tokens[w.start : w.stop]) for w in windows] == owned


@pytest.mark.parametrize(
    ("length", "shared"), [(512, 64), (128, 31), (5, 0)], ids=["long", "middle", "short"]
)
def test_default_overlap_is_a_quarter_of_the_room_and_64_at_most(length, shared):
    one, other, *_ = windows_of(Document("d", letters(2000)), max_seq_length=length)
    assert len(set(one.tokens[1:-1]) & set(other.tokens[1:-1])) == shared


def test_overlap_asked_for_shrinks_where_a_pair_leaves_less_room():
    """An overlap that fits single texts must not stop a pair, which has less room."""
    document = Document("d", letters(9), letters(9, 0x6E00))
    windows = windows_of(document, Letters(2), max_seq_length=8, overlap=5)
    assert sum(w.stop - w.start for w in windows) == 18 + 4


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 30), st.none() | st.integers(0, 30), st.integers(4, 30))
def test_truncation_keeps_what_the_original_program_keeps(a, b, length):
    a, b = letters(a), None if b is None else letters(b, 0x6E00)
    if not a and not b:
        return
    (window,) = windows_of(Document("d", a, b), max_seq_length=length, long_text="truncate")
    # The original takes a text B without tokens for none, before truncation and after it.
    tokens, segments = assemble(list(a), list(b) if b else None, length)
    if b and tokens[-2:] == ["[SEP]", "[SEP]"]:
        tokens, segments = tokens[:-1], segments[:-1]
    names = {"[CLS]": "^", "[SEP]": "|"}
    assert list(window.tokens) == [names.get(token, token) for token in tokens]
    assert window.segments.tolist() == segments
    content = np.count_nonzero(window.roles == OWN)
    assert window.n_dropped == len(a) + len(b or "") - content
    assert (window.start, window.stop, window.count) == (0, len(window), 1)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(2, 20), st.sampled_from(["left", "right"])
)
def test_truncation_can_keep_what_the_tokenizers_library_keeps(a, b, room, side):
    a, b = "a" * a, "b" * b
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    library.enable_truncation(room, strategy="longest_first", direction=side)
    kept = library.encode(a, b).tokens
    assert truncated(len(a), len(b), room, b_first=True) == (kept.count("a"), kept.count("b"))


@pytest.mark.parametrize(
    ("document", "prompt", "tokens", "roles", "spans"),
    [
        (
            Document("d", "abcdef"),
            "",
            "^cdef|",
            [S, O, O, O, O, S],
            [(2, 3), (3, 4), (4, 5), (5, 6)],
        ),
        (
            Document("d", "abcd"),
            "Q: ",
            "^abcd|",
            [S, O, O, O, O, S],
            [(0, 1), (1, 2), (2, 3), (3, 4)],
        ),
        (Document("d", "abc"), "Q: ", "^:abc|", [S, P, O, O, O, S], [(0, 1), (1, 2), (2, 3)]),
        (Document("d", "abcd", "xyz"), "", "^cd|z|", [S, O, O, S, O, S], [(2, 3), (3, 4), (2, 3)]),
    ],
    ids=["text", "without its prompt", "with some of it", "pair"],
)
def test_truncation_can_keep_the_end(document, prompt, tokens, roles, spans):
    (window,) = windows_of(
        document, max_seq_length=6, long_text="truncate", keep_end=True, prompt=prompt
    )
    assert "".join(window.tokens) == tokens
    assert window.roles.tolist() == roles
    assert [tuple(s) for s in window.spans[window.roles == O].tolist()] == spans


@pytest.mark.parametrize(
    ("prompt", "text", "tokens", "skipped"),
    [
        ("", "ab", "^ab|", 0),
        ("Q: ", "ab", "^Q:ab|", 2),
        ("Q a", "b c", "^Qabc|", 3),
        ("Q a ", "b", "^Qab|", 3),
    ],
    ids=["none", "some", "goes on into the text", "white space"],
)
def test_a_prompt_is_as_long_as_it_is_alone(prompt, text, tokens, skipped):
    """As sentence-transformers counts what a pooling without prompts leaves out."""
    (window,) = windows_of(
        Document("d", text), Letters(pattern=r"\S+"), max_seq_length=9, prompt=prompt
    )
    assert "".join(window.tokens) == tokens
    assert window.n_skipped == skipped


def test_text_that_is_too_long_is_an_error_where_it_may_not_be_cut():
    with pytest.raises(Refused, match=r"^7 tokens, 6 fit .*--long_text=window"):
        windows_of(Document("d", letters(7)), max_seq_length=8, long_text="error")
    (window,) = windows_of(Document("d", letters(6)), max_seq_length=8, long_text="error")
    assert len(window) == 8


@pytest.mark.parametrize(
    ("text", "pair", "prompt"),
    [("", None, ""), ("  ", " ", ""), ("", "", ""), ("", None, "Q: "), (" ", "", "Q: ")],
    ids=["nothing", "white space", "an empty pair", "only a prompt", "a prompt and white space"],
)
def test_document_without_a_token_of_its_own(text, pair, prompt):
    with pytest.raises(Empty):
        windows_of(Document("d", text, pair), max_seq_length=8, prompt=prompt)


@pytest.mark.parametrize("pair", [None, "", "\u3000"], ids=["one text", "empty pair", "pair"])
@pytest.mark.parametrize("prompt", ["", "Q: "])
def test_white_space_that_is_a_token_is_no_text(pair, prompt):
    """As of tokenizers that put a space of their own before a text."""
    markup = Document("d", "[ ]\n", pair, alignment=Alignment(((1, 2), (3, 4))))
    for document in (Document("d", "  ", pair), markup):
        with pytest.raises(Empty):
            windows_of(document, Letters(pattern=r"(?s)."), max_seq_length=8, prompt=prompt)


@pytest.mark.parametrize(
    ("document", "roles", "spans"),
    [
        (Document("d", "abc"), [S, P, P, O, O, O, S], [(0, 1), (1, 2), (2, 3)]),
        (Document("d", " a b"), [S, P, P, O, O, S], [(1, 2), (3, 4)]),
        (
            Document("d", "[a] bc", alignment=Alignment(((1, 2), (3, 6)))),
            [S, P, P, O, O, O, S],
            [(1, 2), (4, 5), (5, 6)],
        ),
        (Document("d", "a", "xy"), [S, P, P, O, S, O, O, S], [(0, 1), (0, 1), (1, 2)]),
        (Document("d", "", "xy"), [S, P, P, S, O, O, S], [(0, 1), (1, 2)]),
    ],
    ids=["text", "spaces", "markup", "pair", "only the second text"],
)
def test_prompt_is_told_from_the_text(document, roles, spans):
    """The prompt's tokens are nobody's in the text, and spans index the text without it."""
    (window,) = windows_of(document, max_seq_length=20, prompt="Q: ")
    assert window.roles.tolist() == roles
    assert [tuple(s) for s in window.spans[window.roles == O].tolist()] == spans
    assert (window.spans[window.roles != O] == -1).all()


def test_token_across_the_end_of_the_prompt_is_the_texts():
    (window,) = windows_of(
        Document("d", "cd e"), Letters(pattern=r"\S+"), max_seq_length=9, prompt="Q ab"
    )
    assert window.tokens == ("^", "Q", "abcd", "e", "|")
    assert window.roles.tolist() == [S, P, O, O, S]
    assert window.spans[1:4].tolist() == [[-1, -1], [0, 2], [3, 4]]


def test_prompt_longer_than_a_window():
    """It is cut like any text, and stays the prompt in each window; truncation leaves nothing."""
    document, prompt = Document("d", "ab"), "QRSTU "
    windows = windows_of(document, max_seq_length=5, overlap=0, prompt=prompt)
    assert ["".join(w.tokens) for w in windows] == ["^QRS|", "^TUa|", "^b|"]
    assert [w.roles.tolist() for w in windows] == [[S, P, P, P, S], [S, P, P, O, S], [S, O, S]]
    with pytest.raises(Refused, match=r"prompt fills all 3 tokens.*--max_seq_length"):
        windows_of(document, max_seq_length=5, prompt=prompt, long_text="truncate")


def test_unknown_tokens_are_counted_once_and_only_where_they_are_kept():
    document = Document("d", "?a?bc?", "x?")
    windows = windows_of(document, max_seq_length=7, overlap=2)
    assert len(windows) > 1
    assert [w.n_unknown for w in windows] == [4] + [0] * (len(windows) - 1)
    (short,) = windows_of(document, max_seq_length=7, long_text="truncate")
    assert ("".join(short.tokens), short.n_unknown, short.n_dropped) == ("^?a|x?|", 2, 4)


def test_spans_are_left_out_where_nobody_asked():
    for window in windows_of(Document("d", letters(9)), max_seq_length=6, spans=False, prompt="Q "):
        assert window.spans is None


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (WindowPlan(3), "--max_seq_length=3: special tokens alone take 3; use at least 4"),
        (WindowPlan(10, overlap=7), "--window_overlap=7: a window has room for 7 tokens; use 0..6"),
        (WindowPlan(10, overlap=-1), "--window_overlap=-1: a window has room for 7"),
    ],
    ids=["no room", "overlap is all", "negative overlap"],
)
def test_plan_without_room_is_refused(plan, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        plan.check(specials=3)
    WindowPlan(4).check(specials=3)
    WindowPlan(10, overlap=6).check(specials=3)


def test_strings_are_there_where_somebody_reads_them():
    document, reader = Document("d", "abc"), Letters()
    for spans, strings in ((False, False), (True, False), (False, True)):
        reader.strings = strings
        (window,) = windows_of(document, reader, max_seq_length=None, spans=spans)
        assert window.tokens == (("^", "a", "b", "c", "|") if spans or strings else ())
