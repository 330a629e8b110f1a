"""Byte streams: compressed files are whole or an error, and bad texts in JSON are marked."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import subprocess
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.documents.streams import BrokenInput, MendedJson, decompress

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,  # as the command line does
}
TEXT = b"".join(b"line %d\n" % n for n in range(40_000))  # several buffers long

by_suffix = pytest.mark.parametrize("suffix", COMPRESS)


def content(data, suffix):
    return decompress(io.BytesIO(data), f"in/a{suffix}").read()


@by_suffix
@pytest.mark.parametrize("text", [TEXT, b""], ids=["text", "nothing"])
def test_a_whole_file_is_read_whole(suffix, text):
    assert content(COMPRESS[suffix](text), suffix) == text


@by_suffix
def test_members_follow_each_other(suffix):
    compress = COMPRESS[suffix]
    data = compress(TEXT) + compress(b"") + compress(b"a\n") + compress(TEXT)
    assert content(data, suffix) == TEXT + b"a\n" + TEXT


@by_suffix
@pytest.mark.parametrize("kept", [0, 1, 5, 12, 0.5, -1, -4, -9])
def test_a_file_that_is_cut_off_is_an_error(suffix, kept):
    whole = COMPRESS[suffix](TEXT)
    kept = int(kept * len(whole)) if isinstance(kept, float) else kept
    for data in (whole[:kept], whole + whole[:kept]):
        if data == whole:
            continue  # nothing of the second member
        with pytest.raises(BrokenInput, match=rf"in/a\{suffix}: the compressed file is"):
            content(data, suffix)


@by_suffix
def test_a_damaged_file_is_an_error(suffix):
    data = bytearray(COMPRESS[suffix](TEXT))
    data[len(data) // 2] ^= 255
    for broken in (bytes(data), COMPRESS[suffix](TEXT) + b"rubbish, more of it", b"no such thing"):
        with pytest.raises(BrokenInput, match=r"damaged|cut off"):
            content(broken, suffix)


@by_suffix
def test_padding_at_the_end_is_allowed(suffix):
    assert content(COMPRESS[suffix](b"a") + bytes(100_000), suffix) == b"a"


def test_other_files_are_read_as_they_are():
    assert content(b"a\nb", ".txt") == b"a\nb"


class Chunks(io.RawIOBase):
    """A stream that hands out its data in given pieces."""

    def __init__(self, data, sizes):
        self._data, self._sizes = data, list(sizes)

    def read(self, size=-1):
        n = self._sizes.pop() if self._sizes else 65_536
        self._data, found = self._data[n:], self._data[:n]
        return found


def mended(data, sizes=()):
    stream = MendedJson(Chunks(data, sizes))
    text = b"".join(iter(stream.read, b"")).decode()
    assert len(stream.bad_bytes) == len(stream.bad_escape) != len(stream.mark)
    text = re.sub(f"({stream.bad_bytes})+", "<bytes>", text)  # in a row, chunks decide how many
    return text.replace(stream.bad_escape, "<escape>")


MENDED = {
    "nothing": (b"", ""),
    "byte-order mark": (b"\xef\xbb\xbf{}", "{}"),
    "byte-order mark later": (b" \xef\xbb\xbf", " \ufeff"),
    "text": ("日本 😀\\n".encode(), "日本 😀\\n"),
    "bad bytes": (b"a\xff\xfeb\xe3\x81c", "a<bytes>b<bytes>c"),
    "bad bytes at the end": (b"a\xe3\x81", "a<bytes>"),
    "pair": (rb"\ud83d\ude00", r"\ud83d\ude00"),
    "high alone": (rb"\ud83dx", "<escape>x"),
    "low alone": (rb"\uDE00\u0041", r"<escape>\u0041"),
    "high, high, low": (rb"\ud83d\ud83d\ude00", r"<escape>\ud83d\ude00"),
    "high, other escape": (rb"\ud83d\n", r"<escape>\n"),
    "escaped backslash": (rb"\\ud83d", r"\\ud83d"),
    "escaped backslash, high": (rb"\\\ud83d", r"\\<escape>"),
    "high at the end": (rb"\ud83d", "<escape>"),
    "high and a start of something": (rb"\ud83d\ud", r"<escape>\ud"),
    "start of an escape": (rb"\u", r"\u"),
    "backslash and bad byte": (b"\\\xff", "<bytes>"),
    "torn escape": (b"\\ud8\xff", "<bytes>"),
    "high, torn escape": (b"\\ud83d\\ud\xff", "<escape><bytes>"),
    "escaped backslash and bad byte": (b"\\\\\xff", r"\\<bytes>"),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(("data", "text"), MENDED.values(), ids=MENDED)
def test_what_is_no_text_is_marked_wherever_chunks_end(data, text, size):
    assert mended(data, [size] * 100) == text


LONG = "9" * 4301
NUMBERS = {
    "longest": ("[" + LONG[1:] + ",1]", True),
    "too long": ("[" + LONG + "]", False),
    "in a text": (f'["a", "{LONG}"]', True),
    "in a text with quotes": (rf'["\\\" {LONG}"]', True),
    "behind a text that ends in a backslash": (rf'["\\\\", {LONG}]', False),
    "in a key": (f'{{"{LONG}": 1}}', True),
    "of an object": (f'{{"a": {LONG}}}', False),
    "behind others": (f"[{', '.join(['9' * 2149] * 3)}, {LONG}]", False),
    "behind a text": (f'["{"a" * 3000}", {LONG}]', False),
}


@pytest.mark.parametrize("size", [1, 7, 4000, 65_536])
@pytest.mark.parametrize(("data", "is_read"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_no_program_reads_are_refused_and_texts_of_digits_are_not(data, is_read, size):
    assert ijson_reads(data) or not is_read
    if is_read:
        assert mended(data.encode(), [size] * len(data)) == data
    else:
        with pytest.raises(ValueError, match="a number has more than 4,300 digits"):
            mended(data.encode(), [size] * len(data))


def ijson_reads(data):
    """In a process of its own, which ends where it does not."""
    program = "import ijson, sys; list(ijson.parse(sys.stdin.buffer.read()))"
    done = subprocess.run([sys.executable, "-c", program], input=data.encode())
    return done.returncode == 0


ESCAPES = st.lists(
    st.sampled_from([r"\ud83d", r"\uDBFF", r"\ude00", r"\uDC00", r"\\", r"\n", r"\u0041", r"\""])
    | st.sampled_from(["u", "d", "8", "ud83d", "é", "😀"]),
    max_size=12,
).map("".join)


@settings(deadline=None)
@given(ESCAPES, st.lists(st.integers(1, 9)))
def test_exactly_the_lone_surrogates_of_the_parsed_text_are_marked(inside, sizes):
    literal = f'"{inside}"'
    expected = re.sub("[\ud800-\udfff]", "<escape>", json.loads(literal))
    assert json.loads(mended(literal.encode(), sizes)) == expected


@settings(deadline=None)
@given(
    st.binary()
    | st.lists(st.sampled_from([b"\\", b"u", b"d8", b"0", b"\xff", b"\xe3"])).map(b"".join)
)
def test_chunks_make_no_difference(data):
    assert mended(data, [1] * len(data)) == mended(data)
