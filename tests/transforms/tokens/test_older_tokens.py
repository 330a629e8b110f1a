"""Folders without a `tokenizer.json`: their tokens are those of transformers 4.57, which are those
of 5.23 where no note says otherwise.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import corpusvec
from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.transformers import tokenizer_files
from corpusvec.transforms.storage.json_files import read_json
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from tests.older_folders import KINDS, LINES, trained, write
from tests.transforms.tokens.test_golden_tokens import NEW, OLD

ROBERTA = Path(__file__).parents[2] / "golden" / "families" / "roberta"
every_kind = pytest.mark.parametrize("name", KINDS)


def read(folder):
    """The specification, the tokenizer, and the notes."""
    file, said = tokenizer_files.find(folder)
    config = read_json(folder / "config.json")
    spec = tokenizer_files.describe(file, said, config, None, False)
    tokenizer = load_tokenizer(spec)
    return spec, tokenizer, list(tokenizer_files.notes(spec, said, config, tokenizer))


@every_kind
def test_tokens_are_those_of_transformers(name, tmp_path):
    """A version that does not read a folder has no say."""
    _, tokenizer, notes = read(write(KINDS[name], tmp_path))
    documents = Documents.of([Document(str(n), line) for n, line in enumerate(LINES)])
    found = [one.ids.tolist() for one in cut(documents, tokenizer, WindowPlan(None)).windows]
    assert found == (OLD[name] or NEW[name])
    differ = OLD[name] is not None and OLD[name] != NEW[name]
    assert len([note for note in notes if "transformers 5 has other tokens" in note]) == differ


@every_kind
def test_spans_are_of_the_characters_that_became_a_token(name, tmp_path):
    _, tokenizer, _ = read(write(KINDS[name], tmp_path))
    text = "the garden and the rain"
    [found] = tokenizer.encode([text], True)
    inside = [text[start:stop].strip() for start, stop in found.spans.tolist()]
    assert "".join(inside) == text.replace(" ", "")
    assert [token.lstrip("▁Ġ").removeprefix("##") for token in found.tokens] == inside
    for line in LINES:
        [found] = tokenizer.encode([line], True)
        assert all(0 <= a <= b <= len(line) for a, b in found.spans.tolist())


def test_a_folder_of_vocabulary_and_merges_gives_the_vectors_of_its_tokenizer_json(tmp_path):
    folder = Path(shutil.copytree(ROBERTA, tmp_path / "m", copy_function=shutil.copyfile))
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    about = json.loads((folder / "tokenizer_config.json").read_text())
    about["tokenizer_class"] = "RobertaTokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]), "utf-8")
    with np.load(ROBERTA.with_suffix(".npz")) as golden:
        texts, expected = golden["texts"].tolist(), golden["sentence_vectors"]
    found = corpusvec.Embedder(model=str(folder), long_text="truncate").embed(texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    before = describe_model(str(folder)).digest
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges[:-1]]), "utf-8")
    assert describe_model(str(folder)).digest != before


REFUSED = {
    "no merges": (
        "RoBERTa",
        {},
        r"vocab.json: has no merges.txt beside it, which belongs to it",
    ),
    "another class": ("RoBERTa", {"tokenizer_class": "T5Tokenizer"}, "is read as one of Roberta"),
    "a token of its own around": (
        "RoBERTa",
        {"sep_token": "<pad>"},
        "tokenizer_config.json: sep_token is '<pad>'; vocab.json is read with </s> alone",
    ),
    "a token before": ("GPT-2", {"add_bos_token": True}, "tokenizer_config.json: add_bos_token"),
    "no space before": ("CamemBERT", {"add_prefix_space": False}, "add_prefix_space is False"),
    "punctuation alone": ("DeBERTa 3", {"split_by_punct": True}, "split_by_punct is True"),
    "too many tokens of its own": ("mT5", {"extra_ids": 10**12}, "extra_ids is 1000000000000"),
    "no number of tokens": ("mT5", {"extra_ids": "many"}, "extra_ids must be an integer"),
    "no class, and none of the model": ("mT5", None, "'of no class'; spiece.model alone is read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_implemented_is_refused_by_file_and_key(case, tmp_path):
    name, said, message = REFUSED[case]
    folder = write(KINDS[name], tmp_path)
    if case == "no merges":
        (folder / "merges.txt").unlink()
    if said is None:
        (folder / "config.json").write_text('{"model_type": "modernbert"}')
    about = {} if said is None else {**KINDS[name].said, **said}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=message):
        read(folder)


def test_pieces_of_another_kind_are_refused(tmp_path):
    folder = write(KINDS["T5's spiece.model"], tmp_path)
    kind = {**KINDS["T5's spiece.model"].training, "model_type": "char"}
    (folder / "spiece.model").write_bytes(trained(tuple(kind.items())))
    with pytest.raises(ValueError, match=r"spiece.model: trainer_spec.model_type is not unigram"):
        read(folder)
