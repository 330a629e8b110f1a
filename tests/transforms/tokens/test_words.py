"""Words are what TensorFlow's `string_split` makes of a text: cut at U+0020 and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from tests.model_zoo import described, made, words_of
from tests.saved_models import WORDS

TEXTS = {
    "one space": ("the cat", ["the", "cat"]),
    "several spaces": ("the   cat", ["the", "cat"]),
    "spaces at both ends": ("  the cat ", ["the", "cat"]),
    "tab": ("the\tcat sat", ["the\tcat", "sat"]),
    "newline": ("the\ncat sat\r\n", ["the\ncat", "sat\r\n"]),
    "wide space": ("the\u3000cat sat", ["the\u3000cat", "sat"]),
    "no-break space": ("the\u00a0cat sat", ["the\u00a0cat", "sat"]),
    "a tab alone": ("a \t b", ["a", "\t", "b"]),
    "punctuation stays": ("(the) cat.", ["(the)", "cat."]),
    "no space": ("猫は窓辺で眠り", ["猫は窓辺で眠り"]),
    "blank": ("   ", []),
    "empty": ("", []),
}


def words(vocabulary="", lowercase=False):
    return load_tokenizer(TokenizerSpec("words", "model", str(vocabulary), lowercase=lowercase))


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_a_text_is_cut_as_tensorflow_cuts_it(text, expected):
    import tensorflow as tf

    (tokens,) = words().encode([text], True)
    assert list(tokens.tokens) == expected
    cut = tf.compat.v1.string_split(tf.constant([text]), " ").values.numpy()
    assert [word.decode() for word in cut] == expected
    assert [text[start:stop] for start, stop in tokens.spans] == expected
    assert tokens.spans.shape == (len(expected), 2)
    assert len(tokens) == len(expected)


@given(st.text(alphabet=st.sampled_from("ab Aİſ\t\n\u3000é猫Σς "), max_size=30), st.booleans())
def test_words_and_their_places_cover_all_but_the_spaces(text, lowercase):
    (tokens,) = words(lowercase=lowercase).encode([text], True)
    (plain,) = words(lowercase=lowercase).encode([text], False)
    assert plain.spans is None
    assert list(plain.tokens) == list(tokens.tokens)
    assert [text[start:stop] for start, stop in tokens.spans] == words_of(text)
    if lowercase:
        assert list(tokens.tokens) == words_of(text.lower())
    else:
        assert list(tokens.tokens) == words_of(text)


def test_words_of_a_vocabulary_have_its_numbers_and_others_share_the_next():
    (spec,) = [described("token lookup").tokenizer]
    assert spec.vocabulary == str(made("token lookup") / "assets" / "tokens.txt")
    tokenizer = load_tokenizer(spec)
    (tokens,) = tokenizer.encode([f"{WORDS[0]} Xyzzy {WORDS[-1]} {WORDS[0].upper()}"], False)
    unknown = len(WORDS)
    assert tokenizer.unknown == unknown
    assert tokenizer.size == len(WORDS) + 1
    assert tokens.ids.tolist() == [0, unknown, len(WORDS) - 1, unknown]
    assert tokens.ids.dtype == np.int32


def test_without_a_vocabulary_no_word_is_unknown():
    tokenizer = words()
    (tokens,) = tokenizer.encode(["some words"], False)
    assert not np.any(tokens.ids == tokenizer.unknown)
    assert tokenizer.cls is None
    assert tokenizer.sep is None


def test_a_vocabulary_keeps_its_lines_as_they_are(tmp_path):
    file = tmp_path / "tokens.txt"
    file.write_bytes("a\n\u3000\nb c\n\n".encode())
    tokenizer = words(file)
    assert tokenizer.unknown == 4
    (tokens,) = tokenizer.encode(["b a \u3000"], False)
    assert tokens.ids.tolist() == [4, 0, 1]


def test_a_vocabulary_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "tokens.txt"
    file.write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="cannot be read as a words tokenizer"):
        words(file)
