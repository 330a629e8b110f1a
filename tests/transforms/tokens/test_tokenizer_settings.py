"""Every key of the files beside a tokenizer is applied, known to change no vector, refused by file
and name, or told in a note.
"""

import json
import re
import shutil

import pytest
import tokenizers
from tokenizers import AddedToken

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from tests.models import hugging_face_folder, word_piece_vocabulary
from tests.token_folders import KINDS, write
from tests.transforms.tokens.test_tokenizers import trained

WORDS = (*word_piece_vocabulary(), "[DOC]", "covid-19", "é", "Σ", "σ", "ς")


@pytest.fixture
def folder(tmp_path):
    """`folder(kind, name=values)` -> a folder whose JSON files say more; `added` are tokens of the
    tokenizer's file.
    """

    def make(kind="tokenizer.json", model_type="bert", added=(), modules=(), **more):
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        vocab = None if kind == "xlmr" else WORDS
        place = hugging_face_folder(
            tmp_path / "m", tokenizer=kind, vocab=vocab, model_type=model_type
        )
        if added:
            tokenizer = tokenizers.Tokenizer.from_file(str(place / "tokenizer.json"))
            tokenizer.add_special_tokens(list(added))
            tokenizer.save(str(place / "tokenizer.json"))
        for name, values in more.items():
            file = place / f"{name}.json"
            old = json.loads(file.read_text("utf-8")) if file.is_file() else {}
            file.write_text(json.dumps({**old, **values}), "utf-8")
        return place

    return make


DOC = AddedToken("[DOC]", special=True, normalized=False)
REFUSED = {
    "code of its own": (
        {"tokenizer_config": {"auto_map": {"AutoTokenizer": ["tokens.Own", None]}}},
        "tokenizer_config.json: auto_map names a tokenizer with code of its own",
    ),
    "class that reads no tokenizer.json": (
        {"tokenizer_config": {"tokenizer_class": "BertweetTokenizer"}},
        "tokenizer.json: the model's tokenizer is 'BertweetTokenizer', a program of its own",
    ),
    "class of another vocabulary": (
        {"kind": "vocab.txt", "tokenizer_config": {"tokenizer_class": "T5Tokenizer"}},
        "vocab.txt: the model's tokenizer is 'T5Tokenizer'; vocab.txt alone is read as one of",
    ),
    "token of a list": (
        {"tokenizer_config": {"extra_special_tokens": ["[DOC]"]}},
        "tokenizer_config.json: adds the token '[DOC]', which tokenizer.json does not hold",
    ),
    "token by a name": (
        {"tokenizer_config": {"extra_special_tokens": {"doc_token": "[DOC]"}}},
        "tokenizer_config.json: adds the token '[DOC]', which tokenizer.json does not hold",
    ),
    "token of the map": (
        {"special_tokens_map": {"additional_special_tokens": [{"content": "[DOC]"}]}},
        "special_tokens_map.json: adds the token '[DOC]', which tokenizer.json does not hold",
    ),
    "token beside": (
        {"added_tokens": {"[DOC]": 9}},
        "added_tokens.json: adds the token '[DOC]', which tokenizer.json does not hold",
    ),
    "token that is found otherwise": (
        {
            "added": [DOC],
            "tokenizer_config": {
                "added_tokens_decoder": {"9": {"content": "[DOC]", "lstrip": True}}
            },
        },
        "tokenizer_config.json: lstrip of the token '[DOC]' is True, and False in tokenizer.json",
    ),
    "another token around a text": (
        {"kind": "vocab.txt", "tokenizer_config": {"cls_token": "[MASK]"}},
        "tokenizer_config.json: cls_token is '[MASK]'; vocab.txt is read with [CLS] alone",
    ),
    "another token of the map": (
        {"kind": "xlmr", "special_tokens_map": {"eos_token": {"content": "<mask>"}}},
        "special_tokens_map.json: eos_token is '<mask>'; sentencepiece.bpe.model is read with </s>",
    ),
    "an ordinary word": (
        {"tokenizer_config": {"bos_token": "the"}},
        "tokenizer.json: bos_token, here or in the settings beside it, is 'the', an ordinary piece",
    ),
    "an ordinary word of a vocabulary": (
        {"kind": "vocab.txt", "tokenizer_config": {"pad_token": "are"}},
        "vocab.txt: pad_token, here or in the settings beside it, is 'are', an ordinary piece",
    ),
    "an ordinary word that is found first": (
        {
            "added": [AddedToken("the", special=True, normalized=False)],
            "special_tokens_map": {"eos_token": "the"},
        },
        "tokenizer.json: eos_token, here or in the settings beside it, is 'the', an ordinary piece",
    ),
    "an ordinary word behind a text": (
        {
            "tokenizer": {
                "post_processor": {
                    "type": "BertProcessing",
                    "cls": ["[CLS]", WORDS.index("[CLS]")],
                    "sep": ["the", WORDS.index("the")],
                }
            }
        },
        "tokenizer.json: post_processor, here or in the settings beside it, is 'the'",
    ),
    "no side": (
        {"tokenizer_config": {"truncation_side": "middle"}},
        "tokenizer_config.json: truncation_side is 'middle'; it is left or right",
    ),
    "side is a number": (
        {"tokenizer_config": {"truncation_side": 1}},
        "tokenizer_config.json: truncation_side must be a text, got 1",
    ),
    "segments of a single text": (
        {
            "tokenizer": {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [
                        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 1}},
                        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                    ],
                    "pair": [
                        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                        {"Sequence": {"id": "B", "type_id": 1}},
                        {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
                    ],
                    "special_tokens": {
                        "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                        "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
                    },
                }
            }
        },
        "tokenizer.json: post_processor gives a single text the segments [0, 1, 0]",
    ),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_implemented_is_refused_by_file_and_key(files, message, folder):
    with pytest.raises(ValueError, match=r"\S") as error:
        describe_model(str(folder(**files)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_drops_pieces_at_random_is_refused(folder):
    place = folder()
    whole = json.loads((place / "tokenizer.json").read_text("utf-8"))
    whole["model"]["dropout"] = 0.1
    (place / "tokenizer.json").write_text(json.dumps(whole), "utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json: model\.dropout is 0\.1: a text would"):
        describe_model(str(place))


def test_a_unigram_without_an_unknown_piece_is_refused(tmp_path):
    place = write(KINDS["XLMRobertaTokenizer"], tmp_path)
    whole = json.loads((place / "tokenizer.json").read_text("utf-8"))
    whole["model"]["unk_id"] = None
    (place / "tokenizer.json").write_text(json.dumps(whole), "utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json: model\.unk_id is null: no text with"):
        describe_model(str(place))


TRAINED_OTHERWISE = {
    "trainer_spec.model_type": {"model_type": "bpe"},
    "trainer_spec.user_defined_symbols": {"user_defined_symbols": "garden"},
    "trainer_spec.byte_fallback": {"byte_fallback": True, "vocab_size": 600},
    "trainer_spec.split_by_whitespace": {"split_by_whitespace": False},
    "trainer_spec.treat_whitespace_as_suffix": {"treat_whitespace_as_suffix": True},
    "normalizer_spec.add_dummy_prefix": {"add_dummy_prefix": False},
    "normalizer_spec.remove_extra_whitespaces": {"remove_extra_whitespaces": False},
}


@pytest.mark.parametrize("key", TRAINED_OTHERWISE)
def test_a_sentencepiece_model_that_transformers_reads_otherwise_is_refused(key, folder):
    file = folder("xlmr", "xlm-roberta") / "sentencepiece.bpe.model"
    file.write_bytes(trained(**{"vocab_size": 300, **TRAINED_OTHERWISE[key]}))
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))}: {re.escape(key)} is not as in"):
        describe_model(str(file.parent))


def test_another_file_for_some_versions_is_refused(folder):
    names = {"fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.0.0.json"]}
    place = folder(tokenizer_config=names)
    describe_model(str(place))
    (place / "tokenizer.4.0.0.json").write_text("{}")
    with pytest.raises(ValueError, match=r"fast_tokenizer_files has tokenizer\.4\.0\.0\.json"):
        describe_model(str(place))


WITHOUT_EFFECT = {
    "add_bos_token": True,
    "add_eos_token": True,
    "backend": "tokenizers",
    "chat_template": "{{ messages }}",
    "clean_up_tokenization_spaces": True,
    "do_basic_tokenize": False,
    "is_local": True,
    "max_length": 8,
    "name_or_path": "/somewhere",
    "never_split": ["the"],
    "pad_to_multiple_of": 8,
    "sp_model_kwargs": {"enable_sampling": True},
    "stride": 4,
    "truncation_strategy": "only_first",
}


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt", "xlmr"])
def test_keys_without_effect_are_known(kind, folder):
    architecture = "xlm-roberta" if kind == "xlmr" else "bert"
    lines = ["the garden is quiet, and é", "朝の庭"]
    plain = describe_model(str(folder(kind, architecture)))
    spec = describe_model(str(folder(kind, architecture, tokenizer_config=WITHOUT_EFFECT)))
    assert spec.notes == plain.notes
    assert len(plain.notes) == (kind == "xlmr")  # see `test_golden_tokens.py`
    assert ids_of(spec, lines) == ids_of(plain, lines)


def test_keys_that_nobody_knows_are_notes(folder):
    place = folder(
        tokenizer_config={"squeeze": 3, "added_tokens_decoder": None}, special_tokens_map={}
    )
    assert describe_model(str(place)).notes == (
        "tokenizer_config.json: squeeze is unknown to corpusvec, which ignores it",
    )


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt"])
def test_the_side_at_which_a_text_is_cut(kind, folder):
    text = "the garden is quiet in tomatoes are"
    for said, expected in ({}, "the garden is"), ({"truncation_side": "left"}, "in tomatoes are"):
        (window,) = windows_of(describe_model(str(folder(kind, tokenizer_config=said))), [text])
        assert " ".join(window.tokens[1:-1]) == expected
        assert [text[a:b] for a, b in window.spans[1:-1]] == expected.split()


def test_the_tokenizers_file_may_say_the_side(folder):
    cut = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    spec = describe_model(str(folder(tokenizer={"truncation": cut})))
    assert spec.tokenizer.keep_end
    right = folder(tokenizer={"truncation": cut}, tokenizer_config={"truncation_side": "right"})
    assert not describe_model(str(right)).tokenizer.keep_end


def test_padding_at_the_left_is_a_note_where_positions_are_counted_from_there(folder):
    said = {"tokenizer_config": {"padding_side": "left"}}
    (note,) = describe_model(str(folder(**said))).notes
    assert note.startswith("padding_side of the tokenizer is left, with which")
    assert "left" not in str(describe_model(str(folder("xlmr", "xlm-roberta", **said))).notes)


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt"])
def test_inputs_without_segments(kind, folder):
    names = {"model_input_names": ["input_ids", "attention_mask"]}
    for said, segments in ({}, True), (names, False):
        spec = describe_model(str(folder(kind, tokenizer_config=said)))
        assert spec.segments == segments


def test_an_older_name_of_the_length(folder):
    place = folder(tokenizer_config={"model_max_length": None, "max_len": 9})
    assert describe_model(str(place)).max_seq_length == 64  # the newer one is there, and counts
    file = place / "tokenizer_config.json"
    values = json.loads(file.read_text("utf-8"))
    del values["model_max_length"]
    file.write_text(json.dumps(values), "utf-8")
    assert describe_model(str(place)).max_seq_length == 9


def test_inputs_without_a_mask_are_a_note(folder):
    names = {"model_input_names": ["input_ids", "token_type_ids"]}
    (note,) = describe_model(str(folder(tokenizer_config=names))).notes
    assert note.startswith("model_input_names of the tokenizer has no attention_mask")


# ------------------------------------------------------------------------- special tokens


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt"])
@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("[CLS] ", ["[CLS]"]),
        ("the [MASK][SEP]", ["the", "[MASK]", "[SEP]"]),
        ("[PAD]", ["[PAD]"]),
    ],
    ids=["one", "two and a word", "glued to the text"],
)
def test_a_prompt_holds_special_tokens_and_a_text_does_not(kind, prompt, tokens, folder):
    spec = describe_model(str(folder(kind)))
    (window,) = windows_of(spec, ["the [MASK]"], prompt=prompt, length=20)
    first = 1 + len(tokens)
    assert list(window.tokens[: first + 1]) == ["[CLS]", *tokens, "the"]
    assert not {"[MASK]", "[CLS]"} & set(window.tokens[first:])
    assert window.n_skipped == first
    assert window.spans[first].tolist() == [0, 3]


@pytest.mark.parametrize(
    "changed",
    [{"normalized": True}, {"single_word": True}, None],
    ids=["normalized", "word", "gone"],
)
def test_a_special_token_that_is_found_otherwise_is_refused_in_a_prompt(changed, folder):
    """And in a prompt alone; where it is no token at all, it is text."""
    place = folder(tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast"})
    whole = json.loads((place / "tokenizer.json").read_text("utf-8"))
    mask = next(token for token in whole["added_tokens"] if token["content"] == "[MASK]")
    if changed:
        mask.update(changed)
    else:
        whole["added_tokens"].remove(mask)
    (place / "tokenizer.json").write_text(json.dumps(whole), "utf-8")
    spec = describe_model(str(place))
    (alone,) = windows_of(spec, ["the garden"], prompt="a ", length=20)
    if changed:
        with pytest.raises(ValueError, match=r"--prompt='a \[MASK\] ': holds \[MASK\], which"):
            windows_of(spec, ["the garden"], prompt="a [MASK] ")
    else:
        (window,) = windows_of(spec, ["the garden"], prompt="a [MASK] ", length=20)
        assert "[MASK]" not in window.tokens
        assert window.tokens[-3:] == alone.tokens[-3:]


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt"])
def test_no_text_spells_the_hidden_name_of_a_special_token(kind, folder):
    spec = describe_model(str(folder(kind)))
    for text in ("a \ufdd0 [CLS] b", "\ufdd0 [MASK]"):
        for pair in (None, text):
            (window,) = windows_of(spec, [text], pair=pair, length=40)
            assert not {"[CLS]", "[MASK]"} & set(window.tokens[1:-1])


def test_added_tokens_are_found_in_texts_and_prompts(folder):
    spec = describe_model(str(folder(added=[DOC])))
    (window,) = windows_of(spec, ["the [DOC] garden[DOC]"], prompt="[DOC] ", length=20)
    assert window.tokens[1:-1] == ("[DOC]", "the", "[DOC]", "garden", "[DOC]")
    assert window.n_skipped == 2


def test_special_tokens_that_are_split_are_found_nowhere(folder):
    place = folder(added=[DOC], tokenizer_config={"split_special_tokens": True})
    (window,) = windows_of(
        describe_model(str(place)), ["the [DOC]"], prompt="[CLS][DOC] ", length=30
    )
    assert not {"[CLS]", "[DOC]"} & set(window.tokens[1:-1])


def test_a_sentencepiece_model_alone_finds_no_special_token_in_a_prompt(folder):
    spec = describe_model(str(folder("xlmr", "xlm-roberta")))
    with pytest.raises(ValueError, match=r"--prompt='a <mask> b': holds the special token <mask>"):
        windows_of(spec, ["x"], prompt="a <mask> b")


@pytest.mark.parametrize("kind", ["tokenizer.json", "vocab.txt"])
def test_lower_case_before_the_tokenizer_is_of_characters(kind, folder):
    """As sentence-transformers' Lowercase: no final sigma, and tokens that are added are found."""
    added = [DOC] if kind == "tokenizer.json" else ()
    place = folder(kind, added=added, modules=("pooling",))
    said = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": False}
    (place / "tokenizer_config.json").write_text(json.dumps(said))
    (place / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": n,
                    "name": str(n),
                    "path": path,
                    "type": f"sentence_transformers.models.{name}",
                }
                for n, (name, path) in enumerate([("Transformer", ""), ("Pooling", "1_Pooling")])
            ]
        )
    )
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 16}')
    (place / "sentence_bert_config.json").write_text(
        '{"do_lower_case": true, "max_seq_length": 20}'
    )
    spec = describe_model(str(place))
    (window,) = windows_of(spec, ["THE Σ" + " [DOC]" * (kind == "tokenizer.json")], length=20)
    assert window.tokens[1:3] == ("the", "σ")
    assert ("[DOC]" in window.tokens) == (kind == "tokenizer.json")
    assert window.spans[1:3].tolist() == [[0, 3], [4, 5]]


def ids_of(spec, texts):
    return [window.ids.tolist() for window in windows_of(spec, texts, length=60)]


def windows_of(spec, texts, prompt="", pair=None, length=5):
    """The windows of texts, truncated."""
    documents = Documents.of([Document(str(n), text, pair) for n, text in enumerate(texts)])
    plan = WindowPlan(length, long_text="truncate", prompt=prompt, keep_end=spec.tokenizer.keep_end)
    return list(cut(documents, load_tokenizer(spec.tokenizer), plan).windows)
