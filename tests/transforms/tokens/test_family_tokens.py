"""The tokens of fourteen architectures are those that transformers made of the same folders."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, processors

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import OWN, SPECIAL, Document
from corpusvec.transforms.models.transformers import tokenizer_files
from corpusvec.transforms.specs import TokenizerSpec
from corpusvec.transforms.storage.json_files import read_json
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from tests.models import hugging_face_folder

GOLDEN = Path(__file__).parents[2] / "golden" / "families"
FAMILIES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
AROUND = {"qwen3": (None, "<|endoftext|>"), "t5": (None, "</s>")}
BYTES = ("eurobert", "qwen3", "roberta")
every_family = pytest.mark.parametrize("family", FAMILIES)
unhurried = settings(deadline=None, max_examples=60)


def tokenizer_of(folder: Path):
    file, said = tokenizer_files.find(folder)
    config = read_json(folder / "config.json")
    return load_tokenizer(tokenizer_files.describe(file, said, config, None, False))


def windows_of(tokenizer, texts, *pairs, **plan):
    pairs = pairs or (None,) * len(texts)
    documents = [Document(str(n), text, pair) for n, (text, pair) in enumerate(zip(texts, pairs))]
    made = list(cut(Documents.of(documents), tokenizer, WindowPlan(**plan)).windows)
    return [[one for one in made if one.document.id == document.id] for document in documents]


@pytest.fixture(scope="module")
def loaded():
    return {family: tokenizer_of(GOLDEN / family) for family in FAMILIES}


def test_all_families_are_here():
    assert len(FAMILIES) == 14


@every_family
def test_tokens_are_those_of_transformers(family, loaded):
    with np.load(GOLDEN / f"{family}.npz") as golden:
        texts, tokens = golden["texts"].tolist(), golden["tokens"].tolist()
        rows, longest = golden["row_offsets"].tolist(), int(golden["max_seq_length"])
    made = windows_of(loaded[family], texts, max_seq_length=longest, long_text="truncate")
    assert [list(window.tokens) for (window,) in made] == [
        tokens[start:stop] for start, stop in zip(rows, rows[1:])
    ]


@every_family
def test_what_stands_around_a_text(family, loaded):
    tokenizer = loaded[family]
    before, after = (token and token[0] for token in (tokenizer.cls, tokenizer.sep))
    if family in AROUND:
        assert (before, after) == AROUND[family]
    else:
        assert before
        assert after
    assert tokenizer.pairs == (family in ("distilbert", "electra", "mpnet", "nomic_bert"))


@every_family
def test_windows_hold_each_token_once_and_end_as_a_text_does(family, loaded):
    tokenizer = loaded[family]
    text = "The quick brown fox, 東京タワーで会いましょう 😀 ｶﾞ é " * 4
    [[whole]] = windows_of(tokenizer, [text], max_seq_length=None)
    [windows] = windows_of(tokenizer, [text], max_seq_length=16)
    assert len(windows) > 4
    for name in ("tokens", "ids", "roles", "spans"):
        owned = [list(getattr(w, name)[w.start : w.stop]) for w in windows]
        np.testing.assert_array_equal(np.concatenate(owned), np.array(getattr(whole, name)))
    for window in windows:
        assert len(window) <= 16
        for token, place in ((tokenizer.cls, 0), (tokenizer.sep, -1)):
            assert (window.roles[place] == SPECIAL) == (token is not None)
            assert token is None or window.ids[place] == token[1]


@every_family
def test_spans_are_of_the_characters_that_became_a_token(family, loaded):
    tokenizer = loaded[family]
    bytes_ = family in BYTES

    @unhurried
    @given(st.text("ab 犬é😀ガ\u3000\n、Ġ▁ﬁ", max_size=12))
    def check(text):
        [found] = tokenizer.encode([text], True)
        spans = found.spans.tolist()
        assert spans == sorted(spans, key=lambda span: span[0])
        for token, (start, stop) in zip(found.tokens, spans):
            inside = text[start:stop]
            assert 0 <= start <= stop <= len(text)
            assert inside == (inside.lstrip() or inside)
            if bytes_:
                assert shown(token).strip() in inside.encode()
            elif "unk" not in token.lower():
                plain = folded(token).removeprefix("##").replace("▁", "")
                assert plain in folded(inside)

    check()


def place_by_place(tokenizer, text: str) -> list[list[int]]:
    """Those of the library, each without the white space that it begins with."""
    found = tokenizer._tokenizer.encode(text, add_special_tokens=False)
    places = []
    for number, (start, stop) in zip(found.ids, found.offsets):
        if tokenizer.skips_unknown and number == tokenizer.unknown:
            continue
        words = [place for place in range(start, stop) if not text[place].isspace()]
        spaced = bool(text) and text[min(start, len(text) - 1)].isspace()
        if tokenizer._has_spaces and number == tokenizer._blank and not spaced:
            stop = start
        places.append([words[0] if tokenizer._has_spaces and words else start, stop])
    return places


@every_family
def test_spans_of_many_texts_are_those_of_each(family, loaded):
    tokenizer = loaded[family]

    @unhurried
    @given(st.lists(st.text("ab 犬é😀İ\u3000\n\0▁ﬁ", max_size=8), max_size=6))
    def check(texts):
        found = tokenizer.encode_columns(texts, True, False)
        edges = found.edges.tolist()
        for text, start, stop in zip(texts, edges, edges[1:]):
            assert found.spans[start:stop].tolist() == place_by_place(tokenizer, text)

    check()


def folded(text: str) -> str:
    """Without case, form and accents."""
    parts = unicodedata.normalize("NFKD", text).lower()
    return "".join(char for char in parts if unicodedata.category(char) != "Mn")


def shown(token: str) -> bytes:
    """The bytes that a piece of bytes stands for: each is shown as a letter, one that is printed as
    itself.
    """
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    letters = [chr(byte if byte in printed else next(rest)) for byte in range(256)]
    return bytes(map(letters.index, token))


@every_family
def test_special_tokens_are_no_text_and_prompts_hold_them(family, loaded):
    tokenizer = loaded[family]
    name, number = tokenizer.sep
    [found] = tokenizer.encode([f"a {name} b"], False)
    assert number not in found.ids.tolist()
    [[window]] = windows_of(tokenizer, ["b"], max_seq_length=None, prompt=f"a {name} ")
    inner = window.ids[window.roles != SPECIAL].tolist()
    assert inner.count(number) == 1


@pytest.mark.parametrize("family", ["gemma3_text", "modernbert", "nomic_bert", "qwen3"])
def test_prompts_are_told_from_the_text(family, loaded):
    with np.load(GOLDEN / f"{family}.npz") as golden:
        name = str(golden["prompt_name"])
    about = read_json(GOLDEN / family / "config_sentence_transformers.json")
    prompt, tokenizer = about["prompts"][name], loaded[family]
    texts = ["東京 a dog", "x"]
    [alone] = zip(*windows_of(tokenizer, [prompt + text for text in texts], max_seq_length=None))
    [found] = zip(*windows_of(tokenizer, texts, max_seq_length=None, prompt=prompt))
    for text, one, other in zip(texts, alone, found):
        assert one.tokens == other.tokens
        spans = other.spans[other.roles == OWN]
        assert (spans >= 0).all()
        assert spans[:, 1].max() == len(text)


# ----------------------------------------------------------- tokenizers that no golden folder has

BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]


def of_bytes() -> tokenizers.Tokenizer:
    """As Gemma's: characters without a piece fall apart into bytes."""
    pieces = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        *BYTE_PIECES,
        *"▁ab犬",
        "ab",
        "▁a",
        "<s>",
        "<",
        "s>",
    ]
    pieces += ["s", ">"]
    merges = [("a", "b"), ("▁", "a"), ("s", ">"), ("<", "s>")]
    made = tokenizers.Tokenizer(
        models.BPE(
            {piece: number for number, piece in enumerate(pieces)},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    return made


def saved(made: tokenizers.Tokenizer, path: Path, single="", pair="", special=()) -> str:
    if single:
        numbers = [(token, made.token_to_id(token)) for token in special]
        made.post_processor = processors.TemplateProcessing(
            single=single, pair=pair or None, special_tokens=numbers
        )
    file = path / "tokenizer.json"
    made.save(str(file))
    return str(file)


def spanned(tokenizer, text):
    [found] = tokenizer.encode([text], True)
    return [(token, text[a:b]) for token, (a, b) in zip(found.tokens, found.spans.tolist())]


def test_bytes_of_one_character_have_its_span_each(tmp_path):
    path = saved(of_bytes(), tmp_path, "<bos> $A <eos>", "", ("<bos>", "<eos>"))
    tokenizer = load_tokenizer(TokenizerSpec("tokenizer.json", path))
    assert spanned(tokenizer, "犬é ab") == [
        ("犬", "犬"),
        ("<0xC3>", "é"),
        ("<0xA9>", "é"),
        ("▁", " "),
        ("ab", "ab"),
    ]
    assert tokenizer.unknown == 3
    [found] = tokenizer.encode(["猫"], False)
    assert np.count_nonzero(found.ids == tokenizer.unknown) == 0
    byte_level = tokenizer_of(GOLDEN / "roberta")
    assert [inside for _, inside in spanned(byte_level, "猫a")] == ["猫", "猫", "猫", "a"]


def test_merges_that_make_a_special_token_of_a_text_are_left_out(tmp_path):
    path = saved(of_bytes(), tmp_path, "<bos> $A <eos>", "", ("<bos>", "<eos>"))
    tokenizer = load_tokenizer(TokenizerSpec("tokenizer.json", path))
    assert spanned(tokenizer, "<s>") == [("<", "<"), ("s>", "s>")]


@pytest.mark.parametrize(
    ("single", "pair", "around", "pairs"),
    [
        ("$A <eos>", "$A <eos> $B <eos>", (None, "<eos>"), ["a", "<eos>", "b", "<eos>"]),
        ("<bos> $A", "<bos> $A $B", ("<bos>", None), None),
        ("<bos> $A", "<bos> $A <bos> $B", ("<bos>", None), None),
        (
            "<bos> $A <eos>",
            "<bos> $A <eos> <eos> $B <eos>",
            ("<bos>", "<eos>"),
            ["<bos>", "a", "<eos>", "<eos>", "b", "<eos>"],
        ),
        ("<bos> $A <eos>", "<bos> $A <eos> <bos> $B <eos>", ("<bos>", "<eos>"), None),
        ("$A", "$A $B", (None, None), None),
        ("", "", (None, None), None),
    ],
)
def test_one_token_or_none_on_a_side(single, pair, around, pairs, tmp_path):
    path = saved(of_bytes(), tmp_path, single, pair, ("<bos>", "<eos>"))
    tokenizer = load_tokenizer(TokenizerSpec("tokenizer.json", path))
    assert tuple(token and token[0] for token in (tokenizer.cls, tokenizer.sep)) == around
    before, after = ([token] if token else [] for token in around)
    [[window]] = windows_of(tokenizer, ["a"], max_seq_length=None)
    assert list(window.tokens) == [*before, "a", *after]
    assert tokenizer.pairs == (pairs is not None)
    if pairs:
        [[window]] = windows_of(tokenizer, ["a"], "b", max_seq_length=None)
        assert list(window.tokens) == pairs
    [windows] = windows_of(tokenizer, ["ab ab b a ab a b"], max_seq_length=5, overlap=1)
    assert len(windows) > 2
    for window in windows:
        assert window.tokens[: len(before)] == tuple(before)
        assert window.tokens[len(window) - len(after) :] == tuple(after)
        assert np.count_nonzero(window.roles == SPECIAL) == len(before) + len(after)


def test_two_tokens_on_a_side_are_refused(tmp_path):
    path = saved(of_bytes(), tmp_path, "<bos> <bos> $A", "", ("<bos>",))
    with pytest.raises(ValueError, match=r"puts \['<bos>', '<bos>'\] around a text; implemented"):
        load_tokenizer(TokenizerSpec("tokenizer.json", path))


@pytest.mark.parametrize("said", [None, False, True])
@pytest.mark.parametrize("name", ["RobertaTokenizer", "GPT2TokenizerFast", "TokenizersBackend"])
@pytest.mark.parametrize("written", [False, True])
def test_the_space_before_a_text(written, name, said, tmp_path):
    """Classes of pieces of bytes replace what the file says, as in both versions of
    transformers; the library's own class does not.
    """
    made = tokenizers.Tokenizer.from_file(str(GOLDEN / "roberta" / "tokenizer.json"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=written)
    saved(made, tmp_path)
    values = {"tokenizer_class": name} | ({} if said is None else {"add_prefix_space": said})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    tokens = spanned(tokenizer_of(tmp_path), "犬")
    spaced = written if name == "TokenizersBackend" else bool(said)
    assert (tokens[0] == ("Ġ", "")) == spaced


def test_a_sentencepiece_model_of_luke_is_numbered_as_xlm_rs(tmp_path):
    """As by MLukeTokenizer of transformers 4.57, which gave these numbers."""
    hugging_face_folder(tmp_path, tokenizer="xlmr", model_type="xlm-roberta")
    said = {"tokenizer_class": "MLukeTokenizer", "additional_special_tokens": ["<ent>", "<ent2>"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "luke"}))
    tokenizer = tokenizer_of(tmp_path)
    [[window]] = windows_of(tokenizer, ["The garden is 東京 ｶﾞ"], max_seq_length=None)
    assert window.ids.tolist() == [
        *(0, 4, 116, 7, 85, 182, 11, 5, 6, 88, 12, 4, 171, 68, 4, 3, 2),
    ]
    [[pair]] = windows_of(tokenizer, ["a"], "b", max_seq_length=None)
    assert pair.ids.tolist() == [0, 23, 2, 2, 21, 2]
    assert not tokenizer.segments


def test_the_unknown_token_of_unigram_is_that_of_its_number(loaded):
    for family, name in {"deberta_v2": "[UNK]", "gemma3_text": "<unk>", "t5": "<unk>"}.items():
        tokenizer = loaded[family]
        [found] = tokenizer.encode(["\u1330"], False)
        assert tokenizer.unknown in found.ids.tolist()
        assert name in list(found.tokens)
