"""Tokens are those that a model was trained with: what its files say, whichever version of
transformers reads them otherwise. `golden/tokens.json` has what versions 4.57 and 5.23 read.
"""

import json
from pathlib import Path

import pytest

from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import WindowPlan, cut
from tests import older_folders
from tests.token_folders import KINDS, LINES, write

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "tokens.json").read_text())
OLD, NEW = GOLDEN["4.57.6"], GOLDEN["5.23.0"]
REBUILT = "XLM-R, SentencePiece's file"  # by both versions


@pytest.mark.parametrize("name", [name for name in KINDS if name != REBUILT])
def test_tokens_are_those_of_the_files(name, tmp_path):
    """Where the versions agree, they are theirs; else the older one's, and a note says so."""
    kind = KINDS[name]
    spec = describe_model(str(write(kind, tmp_path)))
    assert read(spec, kind.prompt) == OLD[name]
    told = [note for note in spec.notes if "transformers 5 builds its " in note]
    assert len(told) == (OLD[name] != NEW[name])


def test_a_sentencepiece_model_alone_is_read_by_sentencepiece(tmp_path):
    """Which both versions do not, and differ from it; a note says so."""
    spec = describe_model(str(write(KINDS[REBUILT], tmp_path)))
    found = read(spec, "")
    assert OLD[REBUILT] == NEW[REBUILT]
    different = [line for line, *both in zip(LINES, found, OLD[REBUILT]) if both[0] != both[1]]
    assert different == ["ｸﾞ"]
    (note,) = spec.notes
    assert "ｸﾞ" in note
    assert note.endswith("here they are SentencePiece's own")


def test_both_versions_were_asked_for_every_kind():
    assert set(OLD) == set(NEW) == {*KINDS, *older_folders.KINDS}
    assert sum(OLD[name] != NEW[name] for name in KINDS) > 10


def test_the_note_shows_what_differs(tmp_path):
    def told(name):
        (note,) = describe_model(str(write(KINDS[name], tmp_path / name))).notes
        return note

    assert told("short words alone") == (
        "tokenizer.json: transformers 5 builds its BertTokenizer from this file, which has other"
        " tokens (of 'quick', for one); here they are those of the file, as in transformers 4"
    )
    assert "(of 'quiet', for one)" in told("a piece that ends in a blank")
    assert "(of 'quiet', for one)" in told("BertTokenizer, a rule writes a special token")
    assert "(of characters that are no pieces)" in told("XLM-R, bytes")
    assert "(of '[DOC]', for one)" in told("settings list fewer tokens")
    assert "([MASK] and [SEP] around a text, not [CLS] and [SEP])" in told(
        "settings name another token"
    )


def read(spec, prompt):
    documents = Documents.of([Document(str(n), line) for n, line in enumerate(LINES)])
    found = cut(documents, load_tokenizer(spec.tokenizer), WindowPlan(None, prompt=prompt))
    return [window.ids.tolist() for window in found.windows]
