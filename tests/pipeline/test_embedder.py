"""`Embedder`: the vectors of a run, for texts at hand, without Beam."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import corpusvec
from corpusvec import Document, Embedder
from corpusvec.pipeline import embedders
from tests.conftest import ROOT
from tests.models import TEXTS

LONG = " ".join(TEXTS) * 20  # of several windows


@pytest.fixture(scope="module")
def embedder(tiny) -> Embedder:
    return Embedder(model=tiny)


def test_texts_have_the_vectors_of_a_run_in_their_order(embed, tiny, tmp_path):
    texts = [LONG, *TEXTS, LONG[:1000]]
    lines = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    lines.append({"id": "pair", "text": TEXTS[0], "pair": TEXTS[1]})
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    flags = {"vectors": "mean@-1,cls@-2", "normalize": True, "prompt": "query: "}
    rows = embed(tiny, source, "--vectors=mean@-1,cls@-2", "--normalize", "--prompt=query: ").table(
        "sentences"
    )
    ids = rows["id"].to_pylist()
    documents = [Document(one["id"], one["text"], one.get("pair")) for one in lines]
    found = Embedder(model=tiny, **flags).embed_columns(documents)
    assert list(found) == ["mean@-1", "cls@-2"]
    for name, vectors in found.items():
        assert vectors.dtype == np.float32
        expected = rows[name].to_pylist()
        in_order = [expected[ids.index(document.id)] for document in documents]
        np.testing.assert_allclose(vectors, in_order, atol=1e-6)


def test_strings_and_texts_with_an_id_are_taken_from_any_iterable(embedder):
    strings = embedder.embed(TEXTS[:3])
    assert strings.shape == (3, 16)
    assert np.array_equal(
        embedder.embed((str(n), text) for n, text in enumerate(TEXTS[:3])), strings
    )


def test_no_text_is_an_array_of_the_right_width(embedder):
    assert embedder.embed([]).shape == (0, 16)


BAD = {
    "blank": ([TEXTS[0], " "], r"texts\[1\], ' ': no token of its own"),
    "of half a character": (["a", "b", "\ud800"], r"texts\[2\], '\\ud800': holds half of"),
    "of half a character in a pair": ([Document("x", "a", "\ud800")], r"texts\[0\], 'a': holds"),
}


@pytest.mark.parametrize(("texts", "said"), BAD.values(), ids=BAD)
def test_a_text_without_a_vector_is_named(texts, said, embedder):
    with pytest.raises(ValueError, match=said):
        embedder.embed(texts)


def test_a_text_that_is_too_long_where_none_may_be_cut_is_named(tiny):
    strict = Embedder(model=tiny, long_text="error")
    with pytest.raises(ValueError, match=r"texts\[1\], .* tokens"):
        strict.embed([TEXTS[0], LONG])


def test_a_single_string_is_no_list_of_its_letters(embedder):
    with pytest.raises(TypeError, match="for one text, give a list of it"):
        embedder.embed(TEXTS[0])
    with pytest.raises(TypeError, match="a text is a string"):
        embedder.embed([5])


def test_one_array_is_of_one_column(tiny):
    both = Embedder(model=tiny, vectors="mean@-1,cls@-1")
    with pytest.raises(ValueError, match="there are mean@-1, cls@-1; call embed_columns"):
        both.embed(TEXTS[:1])


def test_settings_are_checked(tiny):
    with pytest.raises(ValueError, match="no vectors of tokens"):
        Embedder(model=tiny, layers="-1")
    with pytest.raises(ValueError, match="--vectors=mean@9"):
        Embedder(model=tiny, vectors="mean@9")
    with pytest.raises(TypeError, match="colour"):
        Embedder(model=tiny, colour="red")  # type: ignore[call-arg]


def test_the_model_is_loaded_once_and_serves_several_threads(tiny, monkeypatch):
    loaded = []
    load = embedders.load_encoder
    monkeypatch.setattr(embedders, "load_encoder", lambda *of: loaded.append(of) or load(*of))
    embedder = Embedder(model=tiny)
    alone = [embedder.embed([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda text: embedder.embed([text]), TEXTS))
    assert np.array_equal(alone, together)
    assert len(loaded) == 1


def test_beam_is_not_imported(tiny):
    script = (
        "import sys, corpusvec\n"
        "heavy = {'apache_beam', 'tensorflow', 'numpy', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules)\n"
        "vectors = corpusvec.Embedder(model=sys.argv[1]).embed(['a text'])\n"
        "assert vectors.shape == (1, 16)\n"
        "assert 'apache_beam' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, tiny], check=True, cwd=ROOT)


def test_the_example_finds_the_text_that_lies_nearest(embed, tiny, tmp_path, monkeypatch, capsys):
    text = Embedder.__doc__ or ""
    example = textwrap.dedent(text.partition("nearest to it:\n\n")[2].partition("\n    A model")[0])
    (tmp_path / "in.txt").write_text("\n".join([*TEXTS, "When are tomatoes ripe?"]))
    assert embed(tiny, tmp_path / "in.txt").output == tmp_path / "out"
    (tmp_path / "models").mkdir()
    os.symlink(tiny, tmp_path / "models" / "all-MiniLM-L6-v2")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "Embedder", "exec"), {"corpusvec": corpusvec})
    assert capsys.readouterr().out == f"in.txt:{len(TEXTS) + 1}\n"


WARNS = """
import logging, sys
import corpusvec
from corpusvec.transforms.models import hardware

if len(sys.argv) > 2:
    logging.getLogger(sys.argv[2]).setLevel(logging.ERROR)
hardware.unused = lambda has_gpu: "NVIDIA L4 is not used"
corpusvec.Embedder(model=sys.argv[1])
"""


@pytest.mark.parametrize("silenced", [None, "corpusvec"])
def test_a_script_sees_warnings_as_logging_shows_them_and_can_silence_them(tiny, silenced):
    command = [sys.executable, "-c", WARNS, str(tiny), *filter(None, [silenced])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ("" if silenced else "NVIDIA L4 is not used\n")
