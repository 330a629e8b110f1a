"""Each kind of tokenizer makes the tokens of the program it stands for, and knows their places."""

from __future__ import annotations

import io
import json
import re
import string
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.models.transformers import hugging_face
from corpusvec.transforms.specs import Asked, TokenizerSpec
from corpusvec.transforms.tokens import spans
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from tests.models import (
    BERT_SPECIALS,
    TEXTS,
    hugging_face_folder,
    sentence_piece_model,
    word_piece_vocabulary,
)
from tests.oracles import BertJapanese, GoogleWordPiece, assemble
from tests.repository.test_oracles import (
    GOLDEN,
    bert_japanese,
    golden_rows,
    lines_of,
    pair_of,
    word_piece,
)

unhurried = settings(deadline=None, max_examples=100)

# What tokenizers disagree about: İ, final sigma, dropped and combining characters, white space of
# every sort, private use, and what newer versions of Unicode brought.
HOSTILE = (
    "abAB ΣσςÉが.,$-!\t\n\x0b\0\x01\x85\u00a0\u00ad\u200b\u200d\u2028\u3000\ufeff\ufffdİiI\u0307ıß"
    "中Αｶﾞ㍿㌖ﷺ①ﬁẞ한글ᄀ▁\u0340\u166d\u1734\u07fd\u0890\u2e43\u2e52\u302e\ue000\uf8ff\U00011935😀"
    "\U00011930\U00011938\U00016ff0\U00017000\U0001d165\U00020000\U0002b820\U000f0000\U0010ffff"
)
SPELLED = ("[CLS]", "[SEP]", "[UNK]", "[MASK]", "<s>", "</s>", "<unk>", "<pad>", "<0x41>")
characters = st.sampled_from(HOSTILE) | st.characters(codec="utf-8")
hostile = st.lists(characters | st.sampled_from(SPELLED + TEXTS), max_size=25).map("".join)


def hostile_vocabulary() -> list[str]:
    """Pieces of everything that may stand in a text, alone and joined."""
    singles = [c for c in dict.fromkeys(HOSTILE + string.ascii_lowercase) if c.strip()]
    joined = ["ab", "a\ue000", "##\ue000b", "aς", "##σ.", "a\u1734b", "i\U00011935\U00011930"]
    pieces = [*BERT_SPECIALS, *singles, *(f"##{char}" for char in singles), *joined]
    return list(dict.fromkeys(pieces))


def written(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def trained(**options) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=model,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def unigram_json(path: Path) -> str:
    """A tokenizer.json of XLM-R's make: Unigram pieces, white space kept before them."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(char, -5.0) for char in sorted(set("".join(TEXTS)) - {" "})]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = tokenizers.normalizers.NFKC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(scope="module")
def specs(tmp_path_factory) -> dict[str, TokenizerSpec]:
    """A tokenizer of each kind, by a name for it."""
    folder = tmp_path_factory.mktemp("tokenizers")
    vocabulary = written(folder / "vocab.txt", "\n".join(word_piece_vocabulary()) + "\n")
    strange = written(folder / "strange.txt", "\n".join(hostile_vocabulary()) + "\n")
    model = sentence_piece_model(("[PAD]", "[CLS]", "[SEP]", "[MASK]"), lower=True)
    japanese = TokenizerSpec(
        "sentencepiece",
        written(folder / "ja.model", model),
        written(folder / "ja.vocab", vocab_of(model)),
        lowercase=True,
    )
    xlmr = hugging_face_folder(folder / "xlmr", tokenizer="xlmr") / "sentencepiece.bpe.model"
    by_bytes = written(folder / "bytes.model", trained(vocab_size=600, byte_fallback=True))
    library = hugging_face_folder(folder / "json", tokenizer="tokenizer.json") / "tokenizer.json"
    return {
        "wordpiece": TokenizerSpec("wordpiece", vocabulary, lowercase=True),
        "wordpiece, cased": TokenizerSpec("wordpiece", vocabulary, lowercase=False),
        "wordpiece, strange": TokenizerSpec("wordpiece", strange, lowercase=True),
        "wordpiece, strange, cased": TokenizerSpec("wordpiece", strange, lowercase=False),
        "bert_fast": TokenizerSpec("bert_fast", vocabulary, lowercase=True),
        "bert_fast, lower-cased first": TokenizerSpec(
            "bert_fast", vocabulary, lowercase=False, lowercase_first=True
        ),
        "tokenizer.json": TokenizerSpec("tokenizer.json", str(library)),
        "tokenizer.json, Unigram": TokenizerSpec(
            "tokenizer.json", unigram_json(folder / "unigram.json")
        ),
        "sentencepiece": japanese,
        "xlm_roberta": TokenizerSpec("xlm_roberta", str(xlmr)),
        "xlm_roberta, lower-cased first": TokenizerSpec(
            "xlm_roberta", str(xlmr), lowercase_first=True
        ),
        "xlm_roberta, bytes": TokenizerSpec("xlm_roberta", by_bytes),
    }


KINDS = (
    "wordpiece",
    "wordpiece, cased",
    "wordpiece, strange",
    "wordpiece, strange, cased",
    "bert_fast",
    "bert_fast, lower-cased first",
    "tokenizer.json",
    "tokenizer.json, Unigram",
    "sentencepiece",
    "xlm_roberta",
    "xlm_roberta, lower-cased first",
    "xlm_roberta, bytes",
)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def loaded(specs) -> dict:
    return {kind: load_tokenizer(specs[kind]) for kind in KINDS}


@pytest.fixture
def tokenizer(loaded, kind):
    return loaded[kind]


def vocab_of(model: bytes) -> str:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = processor.get_piece_size()
    return "".join(f"{processor.id_to_piece(n)}\t{processor.get_score(n):g}\n" for n in range(size))


# ------------------------------------------------------------------------ as the originals


def google(spec: TokenizerSpec) -> GoogleWordPiece:
    text = Path(spec.path).read_text("utf-8")
    return GoogleWordPiece(text.removesuffix("\n").split("\n"), bool(spec.lowercase))


def same_as_google(texts, tokenizer, original) -> None:
    for text, found in zip(texts, tokenizer.encode(texts, False), strict=True):
        expected = original.tokenize(text)
        assert list(found.tokens) == expected, ascii(text)
        assert found.ids.tolist() == original.ids(expected), ascii(text)


WORD_PIECES = pytest.mark.parametrize("kind", [k for k in KINDS if k.startswith("wordpiece")])


@WORD_PIECES
def test_word_pieces_are_the_originals_for_any_text(specs, tokenizer, kind):
    original = google(specs[kind])

    @unhurried
    @given(st.lists(hostile, min_size=1, max_size=4))
    def check(texts):
        same_as_google(texts, tokenizer, original)

    check()


def in_words(codes) -> list[str]:
    """Texts that have each character between letters, and between sigmas and full stops."""
    codes = [code for code in codes if not 0xD800 <= code <= 0xDFFF]
    return [
        " ".join(f"a{chr(code)}b AΣ{chr(code)}A.Σ" for code in codes[start : start + 50])
        for start in range(0, len(codes), 50)
    ]


@WORD_PIECES
def test_word_pieces_are_the_originals_for_every_sort_of_character(specs, tokenizer, kind):
    """All below U+3400, the ends of every block that is treated alike, what stands in for others,
    some of everything else.
    """
    near = [0x4E00, 0xA000, 0xAC00, 0xE000, 0xF900, 0xFB00, 0x17000, 0x20000, 0x2A6E0, 0x2B820]
    near += [0x2B920, 0x2CEB0, 0x2F800, 0x2FA20, 0x30000, 0xE0000, 0xF0000, 0x100000, 0x10FFFE]
    codes = {*range(0x3400), *range(0xA000, 0xABFF), *range(0xFA00, 0x12000)}
    codes |= {code for start in near for code in range(start - 2, start + 2)}
    codes |= {*range(0x17000, 0x17080), *range(0x20000, 0x20080), *range(0x3400, 0x110000, 397)}
    same_as_google(in_words(sorted(codes)), tokenizer, google(specs[kind]))


@pytest.mark.slow
@WORD_PIECES
def test_word_pieces_are_the_originals_for_every_character(specs, tokenizer, kind):
    same_as_google(in_words(range(0x110000)), tokenizer, google(specs[kind]))


def test_a_vocabulary_is_read_as_the_originals_read_it(tmp_path):
    """google-research/bert: lines end at line feeds, white space around a piece is dropped, a piece
    that stands twice has its last number. Hugging Face: white space stays, `\\r` ends a line.
    """
    content = "[PAD]\r\n[UNK]\r\n\n  [CLS] \n[SEP]\nx\u2028y\n\x85z\na\ra\nb\nb\n[CLS]\n \u3000c\n"
    path = written(tmp_path / "vocab.txt", content)
    tokenizer = load_tokenizer(TokenizerSpec("wordpiece", path, lowercase=True))
    [found] = tokenizer.encode(["z aa b c"], False)
    assert list(found.tokens) == ["z", "aa", "b", "c"]
    assert found.ids.tolist() == [6, 7, 9, 11]
    assert (tokenizer.cls, tokenizer.sep) == (("[CLS]", 10), ("[SEP]", 4))
    fast = load_tokenizer(TokenizerSpec("bert_fast", path, lowercase=True))
    [found] = fast.encode(["z a b c"], False)
    assert list(found.tokens) == ["[UNK]", "a", "b", "[UNK]"]
    assert found.ids.tolist() == [1, 8, 10, 1]


@pytest.mark.parametrize(("kind", "limit"), [("wordpiece", 200), ("bert_fast", 100)])
def test_a_word_of_too_many_characters_is_unknown(specs, kind, limit):
    """The original has pieces for up to 200 characters, Hugging Face for up to 100."""
    fitting, long = load_tokenizer(specs[kind]).encode(["a" * limit, "a" * (limit + 1)], False)
    assert len(fitting) == limit
    assert list(long.tokens) == ["[UNK]"]


def test_japanese_pieces_are_the_originals_for_any_text(specs):
    spec = specs["sentencepiece"]
    tokenizer, original = load_tokenizer(spec), BertJapanese(spec.path, spec.vocabulary)

    @unhurried
    @given(st.lists(hostile, min_size=1, max_size=4))
    def check(texts):
        found = zip(tokenizer.encode(texts, True), tokenizer.encode(texts, False), strict=True)
        for text, (with_spans, without) in zip(texts, found, strict=True):
            pieces = original.tokenize(text)
            assert list(with_spans.tokens) == list(without.tokens) == pieces
            # Unlike the original: unknown characters that spell a control symbol are unknown.
            ids = [n if n not in range(1, 7) else 0 for n in original.ids(pieces)]
            assert with_spans.ids.tolist() == without.ids.tolist() == ids

    check()


def test_a_japanese_vocabulary_is_read_as_the_original_reads_it(specs, tmp_path):
    """White space around a piece is dropped, and the last line of a name has its number."""
    spec = specs["sentencepiece"]
    content = Path(spec.vocabulary).read_text("utf-8") + " の\u3000\t-9\r\n"
    vocabulary = written(tmp_path / "ja.vocab", content)
    tokenizer = load_tokenizer(TokenizerSpec("sentencepiece", spec.path, vocabulary, True))
    original = BertJapanese(spec.path, vocabulary)
    found = tokenizer.encode(TEXTS, False)
    assert [row.ids.tolist() for row in found] == [original.ids(row.tokens) for row in found]
    assert tokenizer.size == content.count("\n")
    assert any((row.ids == tokenizer.size - 1).any() for row in found)


@pytest.mark.parametrize("named", ["蝎", "<unk>"])
def test_unknown_pieces_that_a_vocabulary_names_have_its_numbers(specs, tmp_path, named):
    """As in the original, which looks up whatever the model gives back."""
    spec = specs["sentencepiece"]
    lines = Path(spec.vocabulary).read_text("utf-8").removesuffix("\n").split("\n")
    content = "\n".join([*lines, f"{named}\t0"]) + "\n"
    vocabulary = written(tmp_path / "ja.vocab", content)
    tokenizer = load_tokenizer(TokenizerSpec("sentencepiece", spec.path, vocabulary, True))
    original = BertJapanese(spec.path, vocabulary)
    for found in tokenizer.encode(["犬蝎", "犬\ue000", "<unk>"], False):
        assert found.ids.tolist() == original.ids(found.tokens)


@pytest.mark.parametrize("kind", ["xlm_roberta", "xlm_roberta, bytes"])
def test_xlm_roberta_numbers_pieces_as_fairseq_does(specs, tokenizer, kind):
    """A piece has its number in the model plus one, an unknown one 3; see XLMRobertaTokenizer."""
    processor = sentencepiece.SentencePieceProcessor(model_file=specs[kind].path)
    assert (tokenizer.cls, tokenizer.sep, tokenizer.unknown) == (("<s>", 0), ("</s>", 2), 3)

    @unhurried
    @given(hostile)
    def check(text):
        [found], [ids_alone] = (tokenizer.encode([text], spans) for spans in (True, False))
        assert list(found.tokens) == processor.encode(text, out_type=str)
        pieces = processor.encode(text)
        ids = [piece + 1 if piece else 3 for piece in pieces]
        assert found.ids.tolist() == ids_alone.ids.tolist() == ids
        assert list(ids_alone.tokens) == list(found.tokens)

    check()


@pytest.mark.parametrize(
    ("folder", "kind", "original", "max_seq_length"),
    [
        ("bert_japanese", "sentencepiece", bert_japanese, 128),
        ("bert_wordpiece", "wordpiece", word_piece, 48),
    ],
)
def test_golden_lines_have_the_tokens_that_the_original_programs_wrote(
    folder, kind, original, max_seq_length
):
    place = GOLDEN / folder
    files = {"wordpiece": ("vocab.txt", ""), "sentencepiece": ("wiki-ja.model", "wiki-ja.vocab")}
    path, vocabulary = (str(place / name) if name else "" for name in files[kind])
    tokenizer = load_tokenizer(TokenizerSpec(kind, path, vocabulary, lowercase=True))
    reference = original(place)

    def tokenize(text):
        [found] = tokenizer.encode([text], False)
        assert found.ids.tolist() == reference.ids(found.tokens)
        return list(found.tokens)

    rows = golden_rows(place / f"expected_len{max_seq_length}.npz")
    for line, (expected, _, _) in zip(lines_of(place / "input.txt"), rows, strict=True):
        a, b = pair_of(line)
        pair = None if b is None else tokenize(b)
        assert assemble(tokenize(a), pair, max_seq_length)[0] == expected


@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.txt"])
def test_minilm_has_the_tokens_that_sentence_transformers_wrote(minilm, file):
    kind = {"tokenizer.json": "tokenizer.json", "vocab.txt": "bert_fast"}[file]
    tokenizer = load_tokenizer(TokenizerSpec(kind, str(Path(minilm) / file), lowercase=True))
    with np.load(GOLDEN / "minilm.npz") as golden:
        texts = golden["texts"].tolist()
    rows = golden_rows(GOLDEN / "minilm.npz")
    for found, (expected, _, _) in zip(tokenizer.encode(texts, False), rows):
        assert ["[CLS]", *found.tokens[:254], "[SEP]"] == expected


# ------------------------------------------------------------------------ what all kinds share


@every_kind
@pytest.mark.parametrize("special", ["[CLS]", "[SEP]", "<s>", "</s>"])
def test_a_special_token_spelled_in_a_text_is_text(tokenizer, kind, special):
    for text in (special, f"a {special} b", f"{special}{special}", f"犬{special}"):
        [found] = tokenizer.encode([text], False)
        assert len(found) > 1 or found.ids.tolist() == [tokenizer.unknown]
        assert not {tokenizer.cls[1], tokenizer.sep[1]} & set(found.ids.tolist())


def test_unknown_characters_that_spell_a_special_token_are_unknown(tmp_path):
    """Where the model does not know [CLS], it gives unknown characters back as they are."""
    model = sentence_piece_model((), lower=True)
    path = written(tmp_path / "a.model", model)
    vocabulary = written(tmp_path / "a.vocab", vocab_of(model) + "[CLS]\t0\n[SEP]\t0\n")
    tokenizer = load_tokenizer(TokenizerSpec("sentencepiece", path, vocabulary))
    [found] = tokenizer.encode(["犬[CLS]"], False)
    assert found.tokens[-1] == "[CLS]"
    assert found.ids[-1] == tokenizer.unknown


@pytest.mark.parametrize(
    ("kind", "separators", "segments"),
    [
        ("wordpiece", 1, True),
        ("bert_fast", 1, True),
        ("tokenizer.json", 1, True),
        ("tokenizer.json, Unigram", 2, False),
        ("sentencepiece", 1, True),
        ("xlm_roberta", 2, False),
    ],
)
def test_how_a_pair_is_put_together(tokenizer, kind, separators, segments):
    assert (tokenizer.separators, tokenizer.segments) == (separators, segments)


@every_kind
def test_an_unknown_character_is_counted_as_unknown(tokenizer, kind):
    known, unknown = tokenizer.encode(["a a", "a 😀 a"], False)
    assert np.count_nonzero(known.ids == tokenizer.unknown) == 0
    counted = np.count_nonzero(unknown.ids == tokenizer.unknown)
    assert counted == (0 if "bytes" in kind or "strange" in kind else 1)


@every_kind
def test_tokens_do_not_depend_on_spans_or_neighbours(tokenizer, kind):
    @unhurried
    @given(st.lists(hostile, max_size=3))
    def check(texts):
        plain, spanned = tokenizer.encode(texts, False), tokenizer.encode(texts, True)
        assert len(plain) == len(spanned) == len(texts)
        for text, a, b in zip(texts, plain, spanned):
            [alone] = tokenizer.encode([text], False)
            assert list(a.tokens) == list(b.tokens) == list(alone.tokens)
            assert a.ids.tolist() == b.ids.tolist() == alone.ids.tolist()
            assert a.spans is None
            assert len(a.tokens) == len(a)
            assert all(0 <= n < tokenizer.size for n in a.ids.tolist())
            assert a.ids.dtype == b.spans.dtype == np.int32
            assert b.spans.shape == (len(b), 2)

    check()


def letters(text: str) -> Counter:
    """The characters of a text but for case, accents, form, and what tokenizers leave out."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).lower())
    dropped = ("Mn", "Cc", "Cf", "Zs", "Zl")
    kept = (c for c in folded if unicodedata.category(c) not in dropped and c not in "▁\ufffd")
    return Counter("".join(kept).replace("ς", "σ"))


def surface(token: str, text: str) -> str:
    """The characters that a token says it stands for; of unknown ones and bytes it does not say."""
    if token in ("[UNK]", "<unk>") or re.fullmatch("<0x[0-9A-F]{2}>", token):
        return ""
    return token.removeprefix("##") if not text.startswith("##") else token


@every_kind
def test_spans_hold_what_their_tokens_say(tokenizer, kind):
    """Inside the text, in ascending order, and the token's characters are in its span."""

    @unhurried
    @given(hostile)
    def check(text):
        [found] = tokenizer.encode([text], True)
        starts, stops = found.spans[:, 0], found.spans[:, 1]
        assert (starts >= 0).all()
        assert (starts <= stops).all()
        assert (stops <= len(text)).all()
        assert (np.diff(starts) >= 0).all()
        for token, (start, stop) in zip(found.tokens, found.spans.tolist()):
            inside = text[start:stop]
            assert letters(surface(token, inside)) <= letters(inside), (token, inside)
            assert start < stop or token == "▁"
            assert inside == (inside.lstrip() or inside)

    check()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("wordpiece", "İa", [("i", "İ"), ("##a", "a")]),
        ("wordpiece", "e\u0301a", [("e", "e"), ("##a", "a")]),
        ("wordpiece", "\ufeff a\u200b b\ufeff", [("a", "a"), ("b", "b")]),
        ("wordpiece", "が。", [("か", "が"), ("。", "。")]),
        ("wordpiece, strange", "ΑΣ", [("[UNK]", "ΑΣ")]),
        ("wordpiece, strange", "AΣ\x01 AΣ\x01.", [("aς", "AΣ"), ("aς", "AΣ"), (".", ".")]),
        ("wordpiece, strange", "AΣ\x01B", [("a", "A"), ("##σ", "Σ"), ("##b", "B")]),
        ("wordpiece, strange", "a\ue000\u2e43", [("a\ue000", "a\ue000"), ("\u2e43", "\u2e43")]),
        (
            "wordpiece, strange",
            "İ\U00011938b",
            [("i\U00011935\U00011930", "İ\U00011938"), ("##b", "b")],
        ),
        ("bert_fast, lower-cased first", "İ a", [("[UNK]", "İ"), ("a", "a")]),
        ("tokenizer.json", " \u3000the\tDog ", [("the", "the"), ("do", "Do"), ("##g", "g")]),
        ("tokenizer.json, Unigram", "a  b", [("▁", ""), ("a", "a"), ("▁", " "), ("▁", " ")]),
        ("sentencepiece", "\u3000犬", [("▁", ""), ("犬", "犬")]),
        ("sentencepiece", "犬", [("▁", ""), ("犬", "犬")]),
        ("sentencepiece", "İ犬", [("▁i", "İ"), ("\u0307", "İ"), ("犬", "犬")]),
        ("sentencepiece", "ｶﾞ犬", [("▁", ""), ("ガ", "ｶﾞ"), ("犬", "犬")]),
        ("xlm_roberta", "㍿", [("▁", ""), ("株式会社", "㍿")]),
        (
            "xlm_roberta, bytes",
            "犬é",
            [("▁", ""), ("犬", "犬"), ("<0xC3>", "é"), ("<0xA9>", "é")],
        ),
    ],
    ids=[
        "dotted capital",
        "combining accents",
        "byte-order mark",
        "voiced kana",
        "unknown word",
        "final sigma before what is dropped",
        "sigma before what is dropped",
        "private use and newer punctuation",
        "decomposition newer than the library",
        "dotted capital, lower-cased first",
        "white space",
        "white space in a piece",
        "ideographic space",
        "no space",
        "lower-casing that lengthens",
        "composition",
        "expansion",
        "bytes",
    ],
)
def test_spans_of_awkward_texts(tokenizer, kind, text, expected):
    [found] = tokenizer.encode([text], True)
    said = [(t, text[a:b]) for t, (a, b) in zip(found.tokens, found.spans.tolist())]
    assert said[: len(expected)] == expected


# ------------------------------------------------------------------------ files and their rules


def test_truncation_and_padding_of_a_tokenizer_file_are_off(tmp_path):
    folder = hugging_face_folder(tmp_path, truncation=8)
    tokenizer = load_tokenizer(TokenizerSpec("tokenizer.json", str(folder / "tokenizer.json")))
    short, long = tokenizer.encode(["a", "a " * 20], True)
    assert (len(short), len(long)) == (1, 20)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("chinese", [True, False])
def test_what_tokenizer_config_says_overrides_tokenizer_json(
    tmp_path, lowercase, strip_accents, chinese
):
    """The tokens are those of `vocab.txt` under the same rules."""
    text = "The É is 東京"
    said = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": strip_accents,
        "tokenize_chinese_chars": chinese,
    }
    tokens = []
    for kind in ("tokenizer.json", "vocab.txt"):
        vocabulary = [*hostile_vocabulary(), *"Té東京", "##京", "##東"]
        folder = hugging_face_folder(tmp_path / kind, tokenizer=kind, vocab=vocabulary)
        (folder / "tokenizer_config.json").write_text(json.dumps(said))
        spec = hugging_face.describe(str(folder), Asked()).tokenizer
        tokens.append(list(load_tokenizer(spec).encode([text], False)[0].tokens))
    assert tokens[0] == tokens[1]
    assert ("t" in tokens[0]) == lowercase
    assert ("##京" in tokens[0]) == (not chinese)
    stripped = lowercase if strip_accents is None else strip_accents
    assert bool({"É", "é"} & set(tokens[0])) == (not stripped)


@pytest.mark.parametrize(
    "pair",
    ["[CLS] $A [SEP] [CLS] $B [SEP]", "[CLS] $B [SEP] $A [SEP]", "$A [SEP] [SEP] $B [SEP]"],
    ids=["another [CLS]", "turned round", "no [CLS]"],
)
def test_a_model_that_puts_pairs_together_in_another_way_takes_none(tmp_path, pair):
    path = str(hugging_face_folder(tmp_path) / "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(path)
    special = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=special
    )
    tokenizer.save(path)
    assert not load_tokenizer(TokenizerSpec("tokenizer.json", path)).pairs


def test_rules_for_case_that_a_tokenizer_file_has_itself_are_not_overridden(specs):
    path = specs["tokenizer.json, Unigram"].path
    with pytest.raises(ValueError, match=re.escape(f"--do_lower_case: {path}")):
        load_tokenizer(TokenizerSpec("tokenizer.json", path, lowercase=True, lowercase_asked=True))
    # Said by tokenizer_config.json, it is for a normalizer that the file does not have.
    load_tokenizer(TokenizerSpec("tokenizer.json", path, lowercase=True))


ORDINARY = "an ordinary piece"
LOAD_ERRORS = [
    ("wordpiece", None, None, "No such file"),
    ("wordpiece", b"[UNK]\n\xff\n", None, "utf-8"),
    ("wordpiece", b"[UNK]\n[SEP]\na\n", None, "[CLS]"),
    ("bert_fast", None, None, "No such file"),
    ("bert_fast", b"[UNK]\n\xff\n", None, "utf-8"),
    ("bert_fast", b"[CLS]\n[SEP]\na\n", None, "[UNK]"),
    ("tokenizer.json", None, None, "No such file"),
    ("tokenizer.json", b"{}", None, "tokenizers library"),
    ("tokenizer.json", b"\x00\xffPK", None, "tokenizers library"),
    ("sentencepiece", None, b"", "No such file"),
    ("sentencepiece", b"garbage", b"", "cannot be read"),
    ("sentencepiece", "control", None, "No such file"),
    ("sentencepiece", "control", b"<unk>\t0\n[CLS] 0\n", "line 2"),
    ("sentencepiece", "control", b"<unk>\t0\n[CLS]\t0\t0\n", "line 2"),
    ("sentencepiece", "control", b"<unk>\t0\n\n[CLS]\t0\n", "line 2"),
    ("sentencepiece", "control", b"<unk>\t0\n[CLS]\t0\n", "[SEP]"),
    ("sentencepiece", "control", b"<unk>\t0\n\xff\t0\n", "utf-8"),
    ("sentencepiece", "user-defined", "vocabulary", ORDINARY),
    ("xlm_roberta", None, None, "No such file"),
    ("xlm_roberta", b"garbage", None, "cannot be read"),
    ("xlm_roberta", "padded", None, "<unk>, <s>, </s>"),
]


@pytest.mark.parametrize(("kind", "content", "vocabulary", "reason"), LOAD_ERRORS)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    tmp_path, kind, content, vocabulary, reason
):
    if isinstance(content, str):
        options = {
            "control": {"control_symbols": "[CLS],[SEP]"},
            "user-defined": {"user_defined_symbols": "[CLS],[SEP]"},
            "padded": {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3},
        }
        content = trained(vocab_size=300, **options[content])
    if vocabulary == "vocabulary":
        vocabulary = vocab_of(content)
    path, second = tmp_path / "a.model", tmp_path / "a.vocab"
    if content is not None:
        written(path, content)
    if vocabulary is not None:
        written(second, vocabulary)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the text is looked at below)
        load_tokenizer(TokenizerSpec(kind, str(path), str(second) if kind[0] == "s" else ""))
    said = str(caught.value)
    assert str(path) in said or str(second) in said
    assert reason in said
    assert "\n" not in said


def span_by_span(tokenizer, text: str) -> list[list[int]]:
    """The spans of one text's pieces, a piece at a time."""
    seen = text.replace("Σ", "σ") if tokenizer._by_character else text
    low, origins = spans.lowercase(seen) if tokenizer._lowercase else (text, None)
    origins = np.arange(len(low) + 1) if origins is None else origins
    pieces = tokenizer._processor.encode(low, out_type=str)
    _, offsets = tokenizer._processor.normalize(low, with_offsets=True)
    found, at = [], 0
    for piece, length in zip(pieces, tokenizer._lengths_with_bytes(pieces)):
        start, last = offsets[at], offsets[max(at + length - 1, at)]
        stop = min([place for place in offsets if place > last], default=len(low))
        first, end = origins[start], origins[max(stop - 1, 0)] + 1 if stop > start else 0
        end = end if stop > start else first
        words = [place for place in range(first, end) if not text[place].isspace()]
        spaced = bool(text) and text[min(first, len(text) - 1)].isspace()
        if spaced and words:
            first = words[0]
        found.append([first, first if piece == "▁" and text and not spaced else end])
        at += length
    return found


@unhurried
@given(
    texts=st.lists(st.text(characters, max_size=12), max_size=6),
    kind=st.sampled_from([kind for kind in KINDS if kind.startswith(("sentence", "xlm"))]),
)
def test_spans_of_many_texts_are_those_of_each(loaded, texts, kind):
    tokenizer = loaded[kind]
    found = tokenizer.encode_columns(texts, True, True)
    edges = found.edges.tolist()
    for row, text in enumerate(texts):
        own = slice(edges[row], edges[row + 1])
        assert found.spans[own].tolist() == span_by_span(tokenizer, text)
        assert found.names[own].to_pylist() == list(tokenizer.encode([text], False)[0].tokens)
        assert (
            found.ids[own].tolist() == tokenizer.encode_columns([text], False, False).ids.tolist()
        )
