"""The measurements measure what they say; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import os
import py_compile
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import corpusvec
from benchmarks import __main__ as program
from benchmarks import (
    corpora,
    encoding,
    families,
    gpu,
    machine,
    memory,
    observed,
    programs,
    races,
    random_bert,
    rounding,
    sharing,
    sizes,
    tokenizing,
)
from benchmarks import rows as table
from corpusvec.transforms.columns import Documents
from corpusvec.transforms.elements import Document
from corpusvec.transforms.tokens.tokenizers import load_tokenizer
from corpusvec.transforms.tokens.windows import cut

PEERS = Path(program.__file__).with_name("peers")
SLOW_START = "import sys; sys.path.insert(0, {peers!r}); from serving import serve; "


def echo(code: str) -> list[str]:
    return [sys.executable, "-c", SLOW_START.format(peers=str(PEERS)) + code]


def test_a_table_says_what_was_wanted_and_whether_it_is_met():
    rows = [
        table.ratio("fast", [1.2, 0.9, 1.0], least=1.0),
        table.ratio("slow", [0.5], least=1.0),
        table.at_most("large", "3 GiB", 3, 2.5, " GiB"),
        table.rates("speed", [1000.4, 3000, 2000], "tokens"),
        table.within("planned", [0.8, 1.3, 0.7], 0.25),
        table.within("planned badly", [1.26], 0.25),
        table.not_measured("peers", "≥ 2", "--peers=DIR"),
    ]
    assert [*table.head().splitlines(), *table.body(rows).splitlines()] == [
        "| what | figure | target | met? |",
        "|---|---|---|---|",
        "| fast | 1.00 (0.90–1.20) | ≥ 1 | yes |",
        "| slow | 0.50 | ≥ 1 | **no** |",
        "| large | 3 GiB | ≤ 2.5 GiB | **no** |",
        "| speed | 2,000 tokens/s |  |  |",
        "| planned | 0.80 (0.70–1.30) | 1 ± 0.25 | yes |",
        "| planned badly | 1.26 | 1 ± 0.25 | **no** |",
        "| peers | not measured: --peers=DIR | ≥ 2 |  |",
    ]


def test_a_ratio_is_of_one_round_and_never_of_two():
    # The machine is half as fast in the second round: the ratio does not see it.
    assert races.ratios([100, 50, 90], [50, 25, 30]) == [2, 2, 3]
    with pytest.raises(ValueError, match="zip"):
        races.ratios([1, 2], [1])


def test_every_other_round_goes_in_reverse():
    order = []
    found = races.race({name: lambda name=name: order.append(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert {name: len(rounds) for name, rounds in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_server_works_once_to_warm_up_and_once_when_it_is_asked(tmp_path):
    note = str(tmp_path / "note")
    code = f"serve(lambda: open({note!r}, 'a').write('x'))"
    with races.serving({"echo": echo(code)}) as servers:
        assert Path(note).read_text() == "x"
        assert servers["echo"].slice() > 0
        assert Path(note).read_text() == "xx"


@pytest.mark.parametrize(
    "code",
    [
        "print('{\"ready\": true}', flush=True); raise OSError('no luck')",
        "raise OSError('no luck')",
    ],
    ids=["when it is asked", "while it loads"],
)
def test_a_server_that_fails_is_named_with_what_it_said(code):
    def ask():
        with races.serving({"the peer": echo(code)}) as servers:
            servers["the peer"].slice()

    with pytest.raises(races.ProgramFailed, match=r"the peer: ended with 1[\s\S]*no luck"):
        ask()


def test_lengths_have_the_mean_that_was_asked_for():
    drawn = corpora.lengths(20_000, 48)
    assert drawn.mean() == pytest.approx(48, rel=0.02)
    assert (drawn.min(), drawn.max()) == (4, 256)
    np.testing.assert_array_equal(drawn, corpora.lengths(20_000, 48))
    assert (drawn != corpora.lengths(20_000, 48, seed=2)).any()


def test_a_line_becomes_the_window_that_stands_beside_it(minilm):
    from corpusvec.pipeline.settings import Settings

    corpus = corpora.make(minilm, 50)
    recipe = Settings(model=minilm).resolve()
    tokenizer = load_tokenizer(recipe.spec.tokenizer)
    documents = Documents.of([Document(line, line) for line in corpus.lines])
    windows = cut(documents, tokenizer, recipe.windows).windows
    assert [window.ids.tolist() for window in windows] == corpus.windows
    assert corpus.tokens == sum(corpora.lengths(50, 48))


def test_peers_pad_the_windows_and_lose_none(tmp_path):
    file = tmp_path / "windows.json"
    windows = [[1, 5, 2], [1, 5, 6, 7, 2], [1, 2]] * 20
    file.write_text(json.dumps(windows))
    script = (
        "from padding import read_batches\nimport json\n"
        f"batches, tokens = read_batches({str(file)!r})\n"
        "print(json.dumps([tokens, [[i[m > 0].tolist() for i, m in zip(*b)] for b in batches]]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PEERS, capture_output=True, text=True)
    tokens, batches = json.loads(done.stdout)
    assert tokens == 200
    assert [len(batch) for batch in batches] == [32, 28]
    assert sorted(window for batch in batches for window in batch) == sorted(windows)


@pytest.mark.parametrize("script", sorted(PEERS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_of_the_peers_stand_alone(script, tmp_path):
    py_compile.compile(str(script), cfile=str(tmp_path / "compiled"), doraise=True)
    imported = re.findall(r"^ *(?:from|import) (\w+)", script.read_text("utf-8"), re.MULTILINE)
    assert not {"benchmarks", "corpusvec", "tests"} & set(imported)


def test_the_versions_of_the_peers_are_pinned():
    lines = (PEERS / "requirements.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned["apache-beam"] == version("apache-beam")
    assert set(machine._PEERS) <= set(pinned)


@pytest.mark.parametrize("name", families.SHAPES)
def test_the_random_models_are_of_their_families(name, tiny, tmp_path):
    small = {"num_hidden_layers": 2, "n_layers": 2, "hidden_size": 64, "dim": 64}
    small |= {"num_attention_heads": 4, "num_key_value_heads": 2, "n_heads": 4}
    small |= {"intermediate_size": 32, "hidden_dim": 32, "max_position_embeddings": 300}
    config = families.SHAPES[name] | small
    folder = families.write(tmp_path / "model", config, Path(tiny))
    vectors = corpusvec.Embedder(model=str(folder)).embed(["the rain", "a garden"])
    assert vectors.shape == (2, 64)
    assert np.isfinite(vectors).all()
    assert encoding.gflop_per_token(str(folder)) > 0


def test_the_random_model_is_a_bert_of_the_shape_that_was_asked_for(tiny, tmp_path):
    folder = random_bert.write(tmp_path / "bert", Path(tiny), hidden=64, layers=3, positions=32)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert encoding.gflop_per_token(str(folder)) == 2 * 3 * (4 * 64**2 + 2 * 64 * 256) / 1e9
    random_bert.write(tmp_path / "bert", Path(tiny))
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    run = observed.embed(str(folder), memory.write_lines(tmp_path / "a.txt", 3), tmp_path / "out")
    assert run.counts["documents"] == 3
    assert run.started < run.first_batch <= run.first_encoded < run.ended
    assert run.later_tokens < run.counts["encoded_tokens"]
    assert run.counts["padded_tokens"] >= run.counts["encoded_tokens"] > 0
    assert 100 < run.MiB < 4000


def test_a_run_that_fails_says_why(tiny, tmp_path):
    with pytest.raises(races.ProgramFailed, match="matches no file"):
        observed.embed(tiny, tmp_path / "absent.txt", tmp_path / "out")


def test_json_of_token_vectors_is_that_of_the_original(tiny, tmp_path, embed):
    source = tmp_path / "a.txt"
    source.write_text("the garden\nthe book\n")
    outcome = embed(tiny, source, "--layers=0,1,2", "--vectors=mean@-1")
    (file,) = (outcome.latest / "tokens").glob("*.parquet")
    written = pq.read_table(file).to_pylist()
    lines = [json.loads(line) for line in sizes.json_lines(file, layers=(2, 1))]
    assert [line["linex_index"] for line in lines] == [0, 1]
    tokens = [feature for line in lines for feature in line["features"]]
    assert [feature["token"] for feature in tokens] == [row["token"] for row in written]
    assert [layer["index"] for layer in tokens[0]["layers"]] == [2, 1]
    expected = [round(float(value), 6) for value in written[0]["layer@2"]]
    assert tokens[0]["layers"][0]["values"] == expected


def test_a_peer_counts_with_the_setting_with_which_it_is_fastest():
    found = {
        "float32": [10.0, 10.0],
        "MLTransform": [40.0, 50.0],
        "MLTransform, 1024 texts at once": [30.0, 25.0],
        "sentence-transformers": [9.0, 9.0],
    }
    rows = {row.what: row for row in programs._rows(found)}
    assert rows["whole program, float32 ÷ MLTransform in float32"].figure == "2.75 (2.50–3.00)"
    assert rows["whole program, float32 ÷ MLTransform in float32"].met
    assert rows["whole program, float32 ÷ sentence-transformers in float32"].met is False
    assert rows["whole program, bfloat16 ÷ MLTransform in float32"].met is None


def test_rounded_vectors_are_compared_text_by_text(tmp_path, monkeypatch):
    """In whatever order a program writes them."""
    vectors = {"a": [3.0, 0.0], "b": [0.0, 1.0]}
    rounded = {"b": [0.0, 2.0], "a": [0.6, 0.8]}

    def write(name, command, **options):
        chosen = rounded if name == "peer" else vectors
        table = pa.table({"text": list(chosen), "vector": list(chosen.values())})
        pq.write_table(table, Path(command[0]) / "vectors.parquet")

    monkeypatch.setattr(rounding, "run", write)
    commands = dict.fromkeys(("float32", "peer"), lambda lines, folder: [str(folder)])
    (row,) = rounding._near(SimpleNamespace(folder=tmp_path), commands, ["a", "b"])
    assert row.what == "peer: cosine with float32, mean; lowest"
    assert row.figure == "0.8000; 0.6000"


def test_libraries_and_we_find_as_many_tokens(minilm):
    lines = corpora.make(minilm, 20).lines
    ours, theirs = tokenizing.our_windows(minilm)(lines), tokenizing.word_piece(minilm)(lines)
    assert ours.windows.lengths.tolist() == [len(encoding) for encoding in theirs]


@pytest.fixture(scope="session")
def small(tiny, tmp_path_factory) -> str:
    """A BERT of four layers of 64 dimensions, which takes texts as long as any here."""
    folder = tmp_path_factory.mktemp("small") / "model"
    return str(random_bert.write(folder, Path(tiny), hidden=64, layers=4))


@pytest.mark.slow
def test_rows_of_a_gpu_say_that_there_is_none(monkeypatch):
    monkeypatch.setattr(gpu, "run", lambda name, command: "0\n")
    rows = gpu.measure(SimpleNamespace())
    assert len(rows) == 4
    for row in rows:
        assert row.figure == "not measured: TensorFlow has no GPU here"
        assert row.target
        assert row.met is None


def test_padding_and_compiling_are_told_of_the_batches_of_a_run(tiny, tmp_path):
    windows = tmp_path / "windows.json"
    windows.write_text(json.dumps([[5] * length for length in (3, 8, 8, 8)]))
    assert gpu.batches(tiny, str(windows), "float32") == {"padding": 1 - 27 / 32, "seconds": []}


def test_a_card_is_watched_from_its_first_second_of_work_to_its_last():
    assert gpu._mean([0, 0, 0.5, 0, 1.0, 0]) == 0.5
    assert gpu._mean([0, 0]) == 0


@pytest.mark.slow
def test_some_groups_alone_print_a_table_and_leave_the_readme(small, capsys):
    before = program.README.read_text("utf-8")
    flags = [f"--model={small}", f"--base={small}", "--size=0.001", "--rounds=1"]
    assert program.main(["--only=sizes,start,plan", *flags]) == 0
    printed = capsys.readouterr().out
    assert "| bytes of token vectors, float16, plain ÷ JSON of the same values |" in printed
    assert "| a token's vector of one layer, float32, byte_stream_split, to write" in printed
    assert "| start to first batch encoded |" in printed
    assert "| planned ÷ real bytes, one layer of token vectors |" in printed
    assert program.README.read_text("utf-8") == before


def test_the_table_goes_below_the_mark(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Text\n\n{program.MARK}\n\nold\n")
    monkeypatch.setattr(program, "README", readme)
    monkeypatch.setattr(program, "GROUPS", {"one": lambda plan: [table.Row(plan.model, "1")]})
    assert program.main([f"--model={tmp_path}"]) == 0
    text = readme.read_text("utf-8")
    assert text.startswith(f"# Text\n\n{program.MARK}\n\n")
    assert text.endswith(f"|---|---|---|---|\n| {tmp_path} | 1 |  |  |\n")
    assert capsys.readouterr().out.endswith(text.partition(program.MARK)[2].lstrip("\n"))
    assert "tensorflow" in text
    assert "old" not in text


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--only=encode,sped", "sped is none of the groups"),
        ("--only=", "an empty name is none of the groups"),
        ("--rounds=0", "'0' is not a whole number, 1 or more"),
        ("--documents=-5", "'-5' is not a whole number, 1 or more"),
        ("--model=nowhere", "nowhere: is no folder"),
        ("--also=nowhere", "nowhere: is no folder"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(capsys, flag, said):
    with pytest.raises(SystemExit):
        program.main([flag])
    assert said in capsys.readouterr().err


def test_a_failure_is_one_line_and_leaves_what_was_measured(tmp_path, monkeypatch, capsys, minilm):
    def fail(plan):
        raise races.ProgramFailed("the peer: ended with 1")

    monkeypatch.setattr(program, "GROUPS", {"one": lambda plan: [table.Row("1", "2")], "two": fail})
    monkeypatch.setattr(program, "README", tmp_path / "README.md")
    assert program.main([f"--model={minilm}"]) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("| 1 | 2 |  |  |\n")
    assert printed.err.endswith("error: the peer: ended with 1\n")
    assert not (tmp_path / "README.md").exists()


def test_a_missing_environment_of_the_peers_is_one_line(capsys, minilm):
    assert program.main([f"--model={minilm}", "--peers=/nowhere", "--only=sizes"]) == 1
    assert capsys.readouterr().err.startswith("error: --peers=/nowhere: no virtual environment")


def test_texts_are_made_of_word_pieces_only(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram", "vocab": []}}')
    with pytest.raises(ValueError, match="it has no WordPiece"):
        corpora.make(str(tmp_path), 1)


def shared(*workers) -> sharing.Shared:
    return sharing.Shared(10, [[sharing.Batch(*batch) for batch in worker] for worker in workers])


def test_what_a_second_task_manager_adds_is_counted_from_when_both_encode():
    """Whatever the first of them did before the second began; one that is done idles."""
    one = shared([(0, 5, 100), (5, 6, 100), (6, 7, 100), (7, 8, 100)])
    assert one.rate == 100
    two = shared([(0, 1, 100), (1, 4, 1000), (5, 6, 200)], [(3, 5, 100), (5, 6, 100), (6, 7, 60)])
    assert two.rate == 180
    ours, *_ = sharing.rows([one], [two])
    assert (ours.figure, ours.target, ours.met) == ("1.80", "≥ 1.6", True)


def test_without_java_nothing_is_measured_on_flink(monkeypatch):
    monkeypatch.setattr(sharing.shutil, "which", lambda name: None if name == "java" else name)
    (row,) = sharing.measure(SimpleNamespace())
    assert row.figure.startswith("not measured: needs ")


@pytest.mark.slow
@pytest.mark.flink
def test_one_and_two_task_managers_are_compared(jars, small, capsys):
    flags = [f"--model={small}", "--size=0.001", "--rounds=1"]
    assert program.main(["--only=flink", *flags]) == 0
    printed = capsys.readouterr().out
    assert "| Flink, two TaskManagers ÷ one, a core each | " in printed
    assert "| Flink, two TaskManagers | " in printed


@pytest.mark.slow
def test_encoders_and_whole_runs_are_compared_without_peers(small, capsys):
    flags = [f"--model={small}", f"--base={small}", "--size=0.001", "--rounds=1"]
    assert program.main(["--only=encode,whole", *flags]) == 0
    printed = capsys.readouterr().out
    assert "| encode only, float32 ÷ float32 matmul limit | 0." in printed
    assert (
        "| encode only, float32 ÷ ONNX Runtime float32 | not measured: needs --peers=DIR |"
        in printed
    )
    assert "| whole run ÷ encode only, four layers of token vectors |" in printed
    assert "| padded ÷ real tokens | 1." in printed


@pytest.fixture
def peers() -> Path:
    folder = os.environ.get("BENCHMARK_PEERS")
    if not folder:
        pytest.skip("BENCHMARK_PEERS names no virtual environment with the peers")
    return Path(folder)


def test_the_peers_run(peers, small):
    flags = [f"--model={small}", f"--base={small}", "--size=0.001", "--rounds=1"]
    assert program.main(["--only=encode,programs", f"--peers={peers}", *flags]) == 0


@pytest.mark.parametrize("flags", [(), ("--ready-ids",)], ids=["tokenized", "ready ids"])
def test_a_run_without_a_model_writes_what_a_run_writes(minilm, tmp_path, flags):
    """All rows, of the model's width; only what is in the vectors is made up."""
    source, output = tmp_path / "lines.txt", tmp_path / "out"
    source.write_text("".join(f"{line}\n" for line in corpora.make(minilm, 60).lines))
    command = [sys.executable, "-m", "benchmarks.null_run", *flags, "embed", f"--model={minilm}"]
    command += [f"--input={source}", f"--output={output}", "--layers=-1"]
    took = json.loads(races.run("null", command).splitlines()[-1])
    assert set(took) == {"wall", "cpu", "program", "own", "MiB"}
    assert 0 < took["own"] < took["cpu"]
    (sentences,) = output.glob("snapshots/*/sentences/*.parquet")
    rows = pq.read_table(sentences)
    assert len(rows) == 60
    assert rows["vector"].type.list_size == 384
    (tokens,) = output.glob("snapshots/*/tokens/*.parquet")
    assert pq.read_metadata(tokens).num_rows == sum(rows["n_tokens"].to_pylist())
