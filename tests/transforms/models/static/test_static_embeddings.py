"""Static embeddings have the vectors of the programs they were made for, without TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from corpusvec.pipeline.cli import main
from corpusvec.pipeline.embedders import Embedder
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.static import tables
from tests.packages import ROOT
from tests.static_folders import GOLDEN, KINDS, TEXTS, WIDTH, Kind, write
from tests.torch_writer import write as write_torch


@pytest.mark.parametrize("name", KINDS)
def test_vectors_are_those_of_the_original(name, tmp_path):
    kind, folder = KINDS[name], write(KINDS[name], tmp_path)
    with np.load(GOLDEN) as golden:
        for prompt in (None, *(kind.prompts or ())):
            cut = {"long_text": "truncate"} if kind.truncation else {}
            embedder = Embedder(model=str(folder), prompt=prompt, **cut)
            found = np.array(embedder.embed(TEXTS))
            expected = golden[name if prompt is None else f"{name}, {prompt}"]
            # Unlike there, nothing is rounded to half precision on the way.
            tolerance = 2e-2 if kind.dtype is np.float16 else 1e-5
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_every_kind_was_asked_for():
    with np.load(GOLDEN) as golden:
        assert {name.partition(", query")[0] for name in golden} == set(KINDS)


def test_neither_tensorflow_nor_torch_is_imported(tmp_path):
    folder = write(KINDS["bare"], tmp_path / "model")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    program = (
        "import sys; from corpusvec.pipeline.cli import main;"
        f" code = main(['embed', '--model={folder}', '--input={tmp_path / 'texts.txt'}',"
        f" '--output={tmp_path / 'out'}', '--layers=0']);"
        " sys.exit(code or 10 * bool({'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_token_vectors_are_the_rows_of_their_tokens(tmp_path, embed):
    folder = write(KINDS["bare"], tmp_path / "model")
    (tmp_path / "texts.txt").write_text("The quick brown fox")
    outcome = embed(folder, tmp_path / "texts.txt", "--layers=0", "--vectors=a=max@0,b=mean@0")
    assert outcome.code == 0, outcome.err
    row = outcome.table("tokens").to_pylist()
    table = load_file(folder / "model.safetensors")["embedding.weight"]
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    expected = np.stack([table[vocabulary[one["token"]]] for one in row])
    found = np.array([one["layer@0"] for one in row])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    (sentence,) = outcome.table("sentences").to_pylist()
    np.testing.assert_allclose(sentence["a"], expected.max(axis=0), rtol=1e-6)
    np.testing.assert_allclose(sentence["b"], expected.mean(axis=0), rtol=1e-5)


def test_long_texts_are_pooled_over_all_windows(tmp_path):
    folder = str(write(KINDS["float16, cut by its tokenizer"], tmp_path))
    whole = Embedder(model=folder, max_seq_length=1000).embed(TEXTS)
    np.testing.assert_allclose(Embedder(model=folder).embed(TEXTS), whole, rtol=1e-5, atol=1e-5)


def test_weights_of_pytorch(tmp_path):
    folder = write(KINDS["bare"], tmp_path)
    expected = Embedder(model=str(folder)).embed(TEXTS)
    write_torch(folder / "pytorch_model.bin", load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    np.testing.assert_array_equal(Embedder(model=str(folder)).embed(TEXTS), expected)


def test_what_is_known_of_a_model(tmp_path):
    spec = describe_model(str(write(KINDS["dense and truncated"], tmp_path)))
    assert (spec.kind, spec.hidden_size, spec.layers, spec.special_tokens) == (
        "static", WIDTH, (0,), 0
    )  # fmt: skip
    assert (spec.max_seq_length, spec.longest, spec.pairs) == (None, None, False)
    assert spec.parameters == 470 * WIDTH


def test_unknown_tokens_of_a_folder_for_two_programs_are_a_note(tmp_path):
    (note,) = describe_model(str(write(KINDS["model2vec with modules"], tmp_path))).notes
    assert note.startswith("config.json: model2vec leaves unknown tokens out of a text's vector")


def test_a_table_that_model2vec_did_not_distil(tmp_path):
    """Its configuration names no type, but that of the numbers."""
    folder = write(KINDS[M2V], tmp_path)
    expected = Embedder(model=str(folder)).embed(TEXTS)
    said = {"normalize": False, "max_length": 512, "embedding_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(said))
    np.testing.assert_array_equal(Embedder(model=str(folder)).embed(TEXTS), expected)


def test_a_truncated_text_of_model2vec_is_its_first_tokens(tmp_path):
    """However many characters these are."""
    folder, text = write(KINDS["model2vec"], tmp_path), "the dog jumps over the dog"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ends = tokenizer.encode(text, add_special_tokens=False).offsets
    assert len(ends) > 5
    cut = Embedder(model=str(folder), long_text="truncate", max_seq_length=5).embed([text])
    expected = Embedder(model=str(folder)).embed([text[: ends[4][1]]])
    np.testing.assert_allclose(cut, expected, rtol=1e-6)


def changed(folder, **arrays):
    file = folder / "model.safetensors"
    kept = {**load_file(file), **arrays}
    save_file({key: value for key, value in kept.items() if value is not None}, file)


def says(**values):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return change


M2V = "model2vec, fewer rows"
REFUSED = {
    "no tokenizer": (
        "bare",
        lambda folder: (folder / "tokenizer.json").unlink(),
        ": has no tokenizer.json, which static embeddings need",
    ),
    "no weights": (
        "bare",
        lambda folder: (folder / "model.safetensors").unlink(),
        ": has no model.safetensors",
    ),
    "another array": (
        "bare",
        lambda folder: changed(folder, bias=np.zeros(3, np.float32)),
        "model.safetensors: holds bias; expected is a table of embeddings alone",
    ),
    "no table": (
        "bare",
        lambda folder: changed(folder, **{"embedding.weight": None, "x": np.zeros(3)}),
        "model.safetensors: has no embedding.weight and no embeddings",
    ),
    "fewer rows than tokens": (
        "bare",
        lambda folder: changed(folder, **{"embedding.weight": np.zeros((5, 3), np.float32)}),
        "model.safetensors: embedding.weight has 5 rows, the tokenizer 887 tokens",
    ),
    "fewer weights than tokens": (
        M2V,
        lambda folder: changed(folder, weights=np.zeros(5, np.float32)),
        "model.safetensors: weights has 5 rows, the tokenizer 470 tokens",
    ),
    "a table of one dimension": (
        "bare",
        lambda folder: changed(folder, **{"embedding.weight": np.zeros(900, np.float32)}),
        "model.safetensors: embedding.weight has the shape [900]; expected two sizes",
    ),
    "length is no number": (
        M2V,
        says(max_length="long"),
        "config.json: max_length must be an integer ≥ 1, got 'long'",
    ),
    "pooling behind it": (
        "bare",
        lambda folder: (folder / "modules.json").write_text(
            json.dumps(
                [
                    {"path": "", "type": "sentence_transformers.models.StaticEmbedding"},
                    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                ]
            )
        ),
        "modules.json: has StaticEmbedding, Pooling; implemented are Transformer and Pooling, or",
    ),
}


@pytest.mark.parametrize(("name", "change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(name, change, message, tmp_path):
    folder = write(KINDS[name], tmp_path)
    change(folder)
    with pytest.raises(ValueError, match=r"\S") as error:
        describe_model(str(folder))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_that_are_not_there_and_integers_are_refused(tmp_path):
    folder = write(KINDS[M2V], tmp_path)
    file = folder / "model.safetensors"
    changed(folder, mapping=np.full(470, 50))
    with pytest.raises(ValueError, match="mapping names rows that embeddings does not have"):
        tables.Table.read(file)
    changed(folder, mapping=None, embeddings=np.zeros((470, 3), np.int32))
    with pytest.raises(ValueError, match="embeddings is of type I32; weights are read as"):
        tables.Table.read(file)


def test_no_memory_is_taken_for_tokens_that_share_a_row(tmp_path):
    folder = write(Kind("albert", rows=50, weights=True, said={}), tmp_path)
    table = tables.Table.read(folder / "model.safetensors")
    assert table.vectors.shape == (50, WIDTH)


def test_inspect_tells_of_tokens_and_vectors(tmp_path, capsys):
    folder = write(KINDS["module in a folder"], tmp_path)
    assert main(["inspect", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["kind"], report["hidden_size"], report["problem"]) == ("static", WIDTH, None)
    assert main(["inspect", str(folder)]) == 0
    assert "no special tokens" in " ".join(capsys.readouterr().out.split())
