"""What a user types, and what comes back: exit codes, one clear sentence, no traceback."""

from __future__ import annotations

import bz2
import copy
import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from corpusvec.pipeline import first_models
from corpusvec.pipeline.cli import main
from corpusvec.pipeline.commands import embed as commands
from corpusvec.pipeline.flags import parsing
from corpusvec.pipeline.flags.embed import add_embed_flags
from corpusvec.pipeline.runners.options import beam_flags
from corpusvec.pipeline.terminal import summaries

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "in" / "a.txt"
    file.parent.mkdir()
    file.write_text("a good book\n")
    return file


# Flags beside --model, --input and --output, and what the one sentence must name.
WRONG = {
    "misspelt": (["--poolign=mean"], ["--poolign", "no such option"]),
    "nearest": (["--vector=mean@-1"], ["did you mean --vectors?"]),
    "misspelt option of Beam": (["--direct_num_worker=2"], ["did you mean --direct_num_workers?"]),
    "no abbreviations": (["--vec=mean@-1"], ["--vec"]),
    "stray word": (["stray"], ["'stray'", "belongs to no option"]),
    "no such layer": (
        ["--layers=3"],
        ["--layers=3: the model has layers 0 to 2", "; type --layers=-1"],
    ),
    "layer with a space": (["--layers", "-9"], ["--layers=-9"]),
    "range with a space": (["--layers", "-9:-1"], ["--layers=-9:-1", "type --layers=-1, "]),
    "value that looks like a flag": (["--prompt", "-x"], ["--prompt needs a value", "--prompt=-"]),
    "layer twice": (["--layers=-1,2"], ["asked for twice"]),
    "no pooling": (["--vectors=meen@-1"], ["'meen'", "mean_sqrt"]),
    "no layer": (["--vectors=mean"], ["which layer"]),
    "two columns": (["--vectors=a=cls@1,a=mean@1"], ["two columns are named 'a'"]),
    "no column": (["--vectors=text=mean@1"], ["'text' is a column of its own"]),
    "too long": (["--max_seq_length=1000"], ["--max_seq_length=1000", "64 positions"]),
    "too short": (["--max_seq_length=3"], ["--max_seq_length=3", "at least 4"]),
    "overlap": (["--window_overlap=61"], ["--window_overlap=61", "0..60"]),
    "not a number": (["--limit=many"], ["--limit", "many"]),
    "bad choice": (["--precision=int8"], ["--precision", "int8", "bfloat16"]),
    "limit of nothing": (["--limit=0"], ["--limit", "1 or more"]),
    "a switch with a value": (["--normalize=true"], ["--normalize takes no value"]),
    "given twice": (["--layers=1", "--layers=2"], ["--layers is given twice"]),
    "no room beside the prompt": (
        ["--prompt=the garden and the rain", "--max_seq_length=8"],
        ["--prompt", "no text would fit"],
    ),
    "prompt that is no text": (["--prompt=caf\udce9"], ["--prompt", "not valid text"]),
    "unknown runner": (["--runner=Nowhere"], ["--runner=Nowhere"]),
}


@pytest.mark.parametrize(("flags", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_sentence_and_nothing_is_written(
    tiny, text, tmp_path, capsys, flags, expected
):
    output = tmp_path / "out"
    code = main(["embed", f"--model={tiny}", f"--input={text}", f"--output={output}", *flags])
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    for part in expected:
        assert part in said.err
    assert "Traceback" not in said.err
    assert said.err.startswith("corpusvec: ")
    assert len(said.err.splitlines()) <= 2
    assert not output.exists()


def test_a_local_run_cannot_be_handed_over(tiny, text, capsys):
    place = [f"--model={tiny}", f"--input={text}", f"--output={text.parent}/out"]
    assert main(["embed", *place, "--no_wait_until_finish"]) == 2
    assert "--no_wait_until_finish: a local run" in capsys.readouterr().err


def input_cases(folder: Path) -> dict[str, tuple[str, str, list[str]]]:
    """Name -> input, output, parts of the sentence."""
    return {
        "no match": (f"{folder}/*.json", f"{folder}/out", ["--input", "matches no file"]),
        "no file": (f"{folder}/b.txt", f"{folder}/out", ["b.txt"]),
        "a folder": (f"{folder}", f"{folder}/../out", ["is a folder"]),
        "unknown suffix": (f"{folder}/a.doc", f"{folder}/../out", ["--input_format"]),
        "output inside": (f"{folder}/**", f"{folder}/out", ["--output", "lies inside"]),
        "output is a file": (
            f"{folder}/a.txt",
            f"{folder}/a.doc",
            ["--output", "cannot be written"],
        ),
        "output below a file": (f"{folder}/a.txt", f"{folder}/a.doc/x", ["--output"]),
        "no input": ("", f"{folder}/out", ["--input"]),
        "collision": (f"{folder}/*.txt,{folder}/sub/*.txt", f"{folder}/../out", ["--id_root"]),
    }


@pytest.mark.parametrize("case", input_cases(Path(".")))
def test_wrong_input_or_output_is_an_error_before_any_work(tiny, text, capsys, case):
    folder = text.parent
    (folder / "a.doc").write_text("a,b\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text("another\n")
    source, output, expected = input_cases(folder)[case]
    assert main(["embed", f"--model={tiny}", f"--input={source}", f"--output={output}"]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in expected), said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [[], ["embed"], ["nothing"], ["embed", "--input=a.txt"], ["publish"]],
    ids=["nothing", "no flags", "unknown command", "no output", "no snapshot"],
)
def test_an_incomplete_command_is_wrong_usage(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("corpusvec: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--output=", "--output: is empty"),
        ("--model= ", "--model: is empty"),
        ("--input=", "--input: is empty"),
    ],
)
def test_an_empty_value_is_no_folder(tiny, text, tmp_path, capsys, change, message):
    flags = {"--model": tiny, "--input": text, "--output": tmp_path / "out"}
    flags.pop(change.split("=")[0])
    assert main(["embed", change, *(f"{name}={value}" for name, value in flags.items())]) == 2
    assert message in capsys.readouterr().err


def test_a_misspelt_required_flag_gets_the_nearest_name(capsys):
    assert main(["embed", "--inptu=a.txt", "--output=out", "--model=m"]) == 2
    assert "--inptu: no such option; did you mean --input?" in capsys.readouterr().err


def test_input_may_be_given_several_times(embed, tiny, text):
    other = text.with_name("b.txt")
    other.write_text("rain on the roof\n")
    outcome = embed(tiny, text, f"--input={other}")
    assert outcome.code == 0, outcome.err
    assert sorted(outcome.table("sentences")["id"].to_pylist()) == ["a.txt:1", "b.txt:1"]


def test_a_tilde_is_home(tiny, text, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(text.parent)
    flags = ["--input=~/in/a.txt", "--output=~/vectors", f"--model={tiny}"]
    assert main(["embed", *flags]) == 0
    assert (tmp_path / "vectors" / "LATEST").exists()
    assert not Path("~").exists()


def test_publish_takes_what_embed_prints(embed, tiny, text, capsys):
    text.write_bytes(b"a good book\n\xff\n")
    outcome = embed(tiny, text)
    assert outcome.code == 3
    assert "rejected: a.txt:2: " in outcome.out
    folder = outcome.out.splitlines()[0]
    assert main(["publish", f"{outcome.output}/", f"{folder}/"]) == 0
    assert outcome.latest == Path(folder)
    assert main(["publish", str(outcome.output), folder, "more"]) == 2


def test_a_snapshot_without_documents_cannot_be_published(embed, tiny, text, capsys):
    text.write_text("\n")
    outcome = embed(tiny, text)
    assert outcome.code == 3
    assert main(["publish", str(outcome.output), outcome.out.splitlines()[0]]) == 2
    assert "nothing to publish" in capsys.readouterr().err


def test_a_reader_that_goes_away_does_not_fail_a_run_that_is_done(tiny, text, tmp_path):
    flags = [f"--model={tiny}", f"--input={text}", f"--output={tmp_path}/out"]
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "pipeline", "embed", *flags]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr


def test_what_killed_runs_left_is_told(embed, tiny, text):
    left = text.parents[1] / "out" / "snapshots" / ".20260102T030405.678Z-0a1b2c3d.attempt"
    left.mkdir(parents=True)
    assert "unfinished attempts of other runs" in embed(tiny, text).out
    assert left.exists()  # it may be running


def test_a_folder_that_holds_no_model_says_what_was_looked_for(text, tmp_path, capsys):
    code = main(["embed", f"--model={tmp_path}", f"--input={text}", f"--output={tmp_path}/out"])
    assert code == 2
    said = capsys.readouterr().err
    assert "bert_config.json" in said
    assert "model.safetensors" in said


def test_verbose_shows_where_an_error_comes_from(text, tmp_path, capsys):
    arguments = ["embed", f"--model={tmp_path}", f"--input={text}", f"--output={tmp_path}/out"]
    assert main([*arguments, "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_publish_refuses_what_is_not_there(tmp_path, capsys):
    assert main(["publish", str(tmp_path), "20260102T030405.678Z-0a1b2c3d"]) == 2
    assert "has no snapshot" in capsys.readouterr().err


def test_help_answers_at_once_and_knows_every_flag():
    started = time.monotonic()
    command = [sys.executable, "-m", "pipeline", "embed", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 5  # a second on an idle machine; no Beam, no TensorFlow
    flags = "input input_format unit limit output model tokenizer do_lower_case layers vectors"
    flags += " normalize prompt max_seq_length long_text window_overlap precision vector_dtype"
    flags += " max_rejected runner mask_special id_root scrapbox_markup dimensions"
    for flag in flags.split():
        assert f"--{flag} " in done.stdout + " ", flag


TYPED = {
    "its name": (["/bin/corpusvec"], None, "corpusvec embed"),
    "a path": (["./.venv/bin/corpusvec"], None, "./.venv/bin/corpusvec embed"),
    "a path in full": (["/else/where/corpusvec"], None, "/else/where/corpusvec embed"),
    "a path with a space": (["a b/corpusvec"], None, "'a b/corpusvec' embed"),
    "a module": (["python3", "-m", "corpusvec"], None, "python3 -m corpusvec embed"),
    "a folder of the checkout": (["python3", "-m", "pipeline"], None, "python3 -m pipeline embed"),
    "a module, and Python's flags": (
        [".venv/bin/python", "-X", "dev", "-m", "pipeline"],
        None,
        ".venv/bin/python -X dev -m pipeline embed",
    ),
    "a script": (["/x/.venv/bin/corpusvec"], "./run_local.sh", "./run_local.sh embed"),
    "another program": (["/x/pytest"], None, "corpusvec embed"),
}


@pytest.mark.parametrize(("called", "script", "shown"), TYPED.values(), ids=TYPED)
def test_a_command_is_shown_as_it_is_typed(called, script, shown, monkeypatch):
    first = str(ROOT / called[-1] / "__main__.py") if "-m" in called else called[0]
    monkeypatch.setattr(sys, "argv", [first, "inspect", "out"])
    monkeypatch.setattr(sys, "orig_argv", [*called, "inspect", "out"])
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.delenv(parsing.TYPED, raising=False)
    if script:
        monkeypatch.setenv(parsing.TYPED, script)
    assert parsing.command("embed", "--input=a b") == f"{shown} '--input=a b'"
    told = parsing.as_typed("full; make room (`corpusvec snapshots prune`), says corpusvec")
    assert told == f"full; make room (`{shown[:-6]} snapshots prune`), says corpusvec"


def test_messages_name_commands_as_they_were_typed(embed, tiny, text, monkeypatch):
    monkeypatch.setenv(parsing.TYPED, "../my run.sh")
    text.write_bytes(b"a good book\n\xff\n")
    outcome = embed(tiny, text)
    (made,) = (outcome.output / "snapshots").glob("2*")
    assert outcome.err.endswith(f": '../my run.sh' publish {outcome.output} {made.name}\n")


def test_our_flags_are_not_beams():
    import argparse

    parser = argparse.ArgumentParser()
    add_embed_flags(parser)
    ours = {name for action in parser._actions for name in action.option_strings}
    assert ours & beam_flags() == {"--runner"}


def test_beams_options_are_accepted_beside_ours(embed, tiny, text):
    outcome = embed(tiny, text, "--direct_num_workers=1", "--job_name", "nightly")
    assert outcome.code == 0, outcome.err


def test_beams_options_are_not_parsed_for_each_transform(embed, tiny, text, monkeypatch):
    from apache_beam.options.pipeline_options import PipelineOptions

    begin, views = PipelineOptions.__init__, Counter()

    def counted(self, *arguments, **options):
        views[type(self)] += 1
        begin(self, *arguments, **options)

    monkeypatch.setattr(PipelineOptions, "__init__", counted)
    outcome = embed(tiny, text, "--job_name=nightly")
    assert outcome.code == 0, outcome.err
    assert max(views.values()) < 10  # of about a hundred transforms


def test_views_of_beams_options_are_of_the_same_options():
    from apache_beam.options.pipeline_options import StandardOptions

    from corpusvec.pipeline.run import _Options

    options = _Options(["--job_name=nightly"])
    options.view_as(StandardOptions).runner = "Another"
    for these in (options, copy.deepcopy(options)):
        assert these.view_as(StandardOptions).runner == "Another"
        assert these.get_all_options()["runner"] == "Another"
        assert these.get_all_options()["job_name"] == "nightly"


def test_the_end_says_where_how_many_how_long_and_shows_rows(embed, tiny, text):
    outcome = embed(tiny, text)
    assert str(outcome.latest) in outcome.out
    assert re.search(
        r"1 documents, 0 rejected, 0 empty, of 1 records; \d+ tokens; \d+\.\d s", outcome.out
    )
    assert "a.txt:1  a good book  vector: [" in outcome.out


def test_another_runner_than_the_local_one(embed, tiny, text):
    outcome = embed(tiny, text, "--runner=BundleBasedDirectRunner")
    assert outcome.code == 0, outcome.err
    assert len(outcome.table("sentences")) == 1


def test_an_english_model_on_japanese_is_a_warning_with_a_command(
    embed, tiny, tmp_path, monkeypatch
):
    """One that can be pasted, and embeds the same records, beside the vectors of this model."""
    monkeypatch.setenv(parsing.TYPED, "./run it.sh")
    (tmp_path / "my texts").mkdir()
    for name in "ab":
        (tmp_path / "my texts" / f"{name}.txt").write_text("蠱毒鱗粉 ||| x\nthe garden\n\xff\n")
    pattern, more = f"{tmp_path}/my texts/*.txt", ["--input_format=pairs", "--max_rejected=4"]
    outcome = embed(tiny, pattern, *more, "--limit=4", "--layers=-1", "--long_text=truncate")
    assert outcome.code == 0
    said = re.search(r"warning: \d+\.\d% of the tokens are unknown .* takes\): (.*)", outcome.out)
    assert said is not None
    program, *arguments = shlex.split(said[1])
    assert program == "./run it.sh"
    assert " --prompt='query: '" in said[1]
    asked = []
    monkeypatch.setattr(commands, "embed", lambda flags: asked.append(flags) or 0)
    assert main(arguments) == 0
    (flags,) = asked
    assert flags.input == [pattern]
    assert (flags.input_format, flags.limit, flags.max_rejected) == ("pairs", 4, 4)
    assert flags.output == f"{outcome.output}-e5"
    assert (flags.model, flags.prompt) == ("hf://intfloat/multilingual-e5-small", "query: ")
    assert (flags.layers, flags.long_text, flags.unit) == (None, "window", "page")


@pytest.mark.parametrize(
    ("output", "beside"),
    [("out", "out-e5"), ("out/", "out-e5"), (".", "here-e5"), ("gs://b/o", "gs://b/o-e5")],
)
def test_the_output_of_another_model_lies_beside_this_one(tmp_path, monkeypatch, output, beside):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    flags = dict.fromkeys(summaries._KEPT) | {"input": ["a.txt"], "output": output}
    words = shlex.split(summaries._with_another(flags, first_models.MANY))
    place = f"{tmp_path}/{beside}" if output == "." else beside
    assert f"--output={place}" in words


def test_a_model_of_many_languages_is_not_told_of_itself():
    counts = {"tokens": 10, "unknown_tokens": 5}
    asked = {"model": "models/multilingual-e5-small", "input": ["a.txt"], "output": "out"}
    (said,) = summaries._unknown(counts, asked, first_models.Languages())
    assert str(said).startswith("warning: ")
    assert said.message.endswith("is it a model for these texts?")


def test_text_that_looks_like_pairs_gets_a_hint(embed, tiny, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("a good book ||| the roof\n")
    outcome = embed(tiny, source)
    assert outcome.code == 0
    assert "--input_format=pairs" in outcome.out + outcome.err


def test_the_hint_on_pairs_counts_lines_and_knows_what_is_beside_them(embed, tiny, tmp_path):
    (tmp_path / "a.txt").write_text("a good book ||| the roof\nthe garden\n")
    (tmp_path / "b.jsonl").write_text('{"text": "rain ||| snow"}\n')
    said = embed(tiny, tmp_path / "a.txt").out
    assert (
        "note: 1 line has ' ||| ' in it and was read as single texts; --input_format=pairs" in said
    )
    assert "alone" not in said
    (tmp_path / "a.txt").write_text("a good book ||| the roof\n||| garden\nrain ||| snow\n")
    outcome = embed(tiny, tmp_path / "*")
    assert "note: 2 lines have ' ||| ' in them and were read as single texts" in outcome.out
    assert "--input_format=pairs reads pairs, in a run of text files alone" in outcome.out
    manifest = json.loads((outcome.latest / "manifest.json").read_text("utf-8"))
    assert manifest["counts"]["pair_separators"] == 2
    assert manifest["input"]["formats"] == {"text": 1, "jsonl": 1}


def test_a_pipe_among_the_inputs_is_named_at_once(embed, tiny, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("a good book\n")
    os.mkfifo(tmp_path / "d" / "pipe.txt")
    for pattern in ("d/*.txt", "d/pipe.txt"):
        outcome = embed(tiny, tmp_path / pattern)
        assert outcome.code == 2
        assert re.search(
            r"^corpusvec: --input=.*pipe\.txt:? is a pipe, not a file; put", outcome.err
        )
        assert len(outcome.err.splitlines()) == 1
    assert not outcome.output.exists()


def test_folders_that_a_glob_matches_are_a_note(embed, tiny, tmp_path):
    (tmp_path / "d" / "more").mkdir(parents=True)
    (tmp_path / "d" / "a.txt").write_text("a good book\n")
    said = f"note: --input={tmp_path}/d/*: matches the folder {tmp_path}/d/more and reads no file"
    assert said in embed(tiny, tmp_path / "d" / "*").out


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "a.jsonl.bz2"])
def test_an_input_in_utf_16_is_refused_compressed_or_not(embed, tiny, tmp_path, name):
    compress = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress}
    data = '{"text": "a good book"}\n'.encode("utf-16-le")
    source = tmp_path / name
    source.write_bytes(compress.get(source.suffix, bytes)(data))
    outcome = embed(tiny, source)
    assert outcome.code == 2
    said = f"corpusvec: {source}: the file looks like UTF-16; save it as UTF-8"
    assert outcome.err.splitlines()[-1] == said


def test_a_file_that_is_cut_while_it_is_read_is_an_error_and_nothing_is_published(
    embed, tiny, tmp_path, monkeypatch
):
    from corpusvec.transforms.documents import parts

    source = tmp_path / "a.txt"
    source.write_text("a good book\n" * 100)
    assert embed(tiny, source).code == 0
    source.write_text("a good book\n" * 90_000)
    opens = parts.open_input

    def cut(path, on_bytes):
        stream = opens(path, on_bytes)
        stream.peek()
        os.truncate(path, 500_000)
        return stream

    monkeypatch.setattr(parts, "open_input", cut)
    outcome = embed(tiny, source)
    assert outcome.code == 1
    said = (
        "when the run began it had 1,080,000 bytes, and now it has 500,000; run again when nothing"
    )
    assert said in outcome.err.splitlines()[-1]
    assert len(outcome.table("sentences")) == 100
    assert len(list((outcome.output / "snapshots").iterdir())) == 1


@pytest.mark.parametrize("chosen", [None, "mimalloc"])
def test_arrow_takes_the_memory_of_the_c_library_unless_the_user_chooses(chosen):
    environment = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
    if chosen:
        environment["ARROW_DEFAULT_MEMORY_POOL"] = chosen
    code = (
        "from corpusvec.pipeline import cli; cli.main([]);"
        " import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.split() == [chosen or "system"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_passes_over_is_not_lost(number, capsys):
    """As one that comes while garbage is collected."""

    class Freed:
        def __del__(self):
            signal.raise_signal(number)
            time.sleep(0.001)  # in which the handler runs

    before = sys.unraisablehook, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), commands._interruptible():  # noqa: PT012
        Freed()
        time.sleep(60)
    after = sys.unraisablehook, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before
    assert capsys.readouterr().err == ""
