"""Workers on other machines: each fetches the model that was described, once, or says why not."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import apache_beam as beam
import pytest

from corpusvec.pipeline.embed import Embed
from corpusvec.transforms.elements import Document
from corpusvec.transforms.models import placements
from corpusvec.transforms.models.placements import Origin, described, on_this_machine
from corpusvec.transforms.models.sources.archives import pack
from corpusvec.transforms.specs import Asked
from tests import servers
from tests.conftest import ROOT
from tests.models import hugging_face_folder
from tests.servers import Site, body


@pytest.fixture
def site(tiny, tmp_path):
    """A server that has the tiny model."""
    pack(tiny, str(tmp_path / "model.tar.gz"))
    with servers.serving(Site()) as site:
        site.answers["/model.tar.gz"] = body((tmp_path / "model.tar.gz").read_bytes())
        yield site


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """From now on this process is that of another machine, with a cache of its own."""

    def move() -> Path:
        monkeypatch.setattr(placements, "_folders", {})
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "elsewhere"))
        return tmp_path / "elsewhere"

    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "client"))
    return move


def other_model(site: Site, tmp_path: Path) -> None:
    """Let the server have another model under the same name."""
    folder = hugging_face_folder(tmp_path / "other", seed=7)
    pack(str(folder), str(tmp_path / "other.tar.gz"))
    site.answers["/model.tar.gz"] = body((tmp_path / "other.tar.gz").read_bytes())


def test_where_a_model_was_described_it_stays(tiny):
    spec, origin = described(tiny, None, False, Asked())
    assert on_this_machine(spec, origin) is spec
    assert on_this_machine(spec, None) is spec


def test_another_machine_fetches_the_model_and_finds_its_files(site, elsewhere):
    spec, origin = described(f"{site.address}/model.tar.gz", None, False, Asked())
    cache = elsewhere()
    moved = on_this_machine(spec, origin)
    assert moved.digest == spec.digest
    assert moved.path.startswith(f"{cache}/")
    for path in (*moved.weights, moved.tokenizer.path):
        assert path.startswith(f"{cache}/")
        assert os.path.exists(path)
    assert on_this_machine(spec.tokenizer, origin) == moved.tokenizer
    assert sum(site.asked.values()) == 2  # once by the client, once here


def test_an_old_copy_on_another_machine_is_fetched_again(site, elsewhere, tmp_path):
    handle = f"{site.address}/model.tar.gz"
    good = site.answers["/model.tar.gz"]
    cache = elsewhere()
    other_model(site, tmp_path)
    described(handle, str(cache), False, Asked())  # of another day
    site.answers["/model.tar.gz"] = good
    spec, origin = described(handle, str(tmp_path / "client"), False, Asked())
    origin = Origin(handle, None, Asked(), origin.folder, origin.digest)
    elsewhere()
    assert on_this_machine(spec, origin).path.startswith(f"{cache}/")


def test_a_model_that_became_another_is_one_sentence(site, elsewhere, tmp_path):
    spec, origin = described(f"{site.address}/model.tar.gz", None, False, Asked())
    other_model(site, tmp_path)
    elsewhere()
    with pytest.raises(ValueError, match=r"is another model on .* than it was when the run"):
        on_this_machine(spec, origin)


def test_a_folder_that_is_not_there_or_another_is_one_sentence(tiny, elsewhere, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    spec, origin = described(str(folder), None, False, Asked())
    elsewhere()
    assert on_this_machine(spec, origin) is spec
    elsewhere()
    (folder / "vocab.txt").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    with pytest.raises(ValueError, match=f"--model={folder}: is another model on"):
        on_this_machine(spec, origin)
    elsewhere()
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=f"--model={folder}: is not on .*; put it there too"):
        on_this_machine(spec, origin)


def fetch(origin: Origin, cache: str) -> str:
    os.environ["TFHUB_CACHE_DIR"] = cache
    return on_this_machine(origin.folder, origin)


def test_the_processes_of_a_machine_fetch_once(site, elsewhere, tmp_path):
    _, origin = described(f"{site.address}/model.tar.gz", None, False, Asked())
    cache = str(elsewhere())
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        folders = pool.starmap(fetch, [(origin, cache)] * 3, chunksize=1)
    assert len(set(folders)) == 1
    assert sum(site.asked.values()) == 2


def test_what_is_secret_in_a_handle_is_in_no_words_of_an_origin():
    origin = Origin("https://me:pass@a.example/m?sig=hidden", None, Asked(), "/folder", "0a")
    assert "pass" not in repr(origin)
    assert "hidden" not in repr(origin)


def run(model: str, folder: Path, before) -> None:
    """Embed in worker processes that have a cache of their own; `before` is called once the model
    is described.
    """
    from apache_beam.portability.api import beam_runner_api_pb2  # noqa: F401
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    worker = f"env TFHUB_CACHE_DIR={folder}/worker {sys.executable}"
    worker += " -m apache_beam.runners.worker.sdk_worker_main"
    embed = Embed(model=model)
    before()
    runner = FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(worker))
    with beam.Pipeline(runner) as pipeline:
        (
            (pipeline | beam.Create([Document("a", "The tomatoes are ripe.")]) | embed).sentences
            | beam.Map(lambda row: json.dumps(row.vectors["vector"].tolist()))
            | beam.io.WriteToText(f"{folder}/vectors", shard_name_template="")
        )


@pytest.mark.parametrize("model", ["site", "folder"])
def test_workers_load_the_model_from_where_they_have_it(site, tiny, tmp_path, monkeypatch, model):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "client"))
    handle = f"{site.address}/model.tar.gz" if model == "site" else tiny
    run(handle, tmp_path, lambda: shutil.rmtree(tmp_path / "client", ignore_errors=True))
    assert len(json.loads((tmp_path / "vectors").read_text())) == 16
    assert not (tmp_path / "client").exists()
    assert (tmp_path / "worker").exists() == (model == "site")


def test_workers_without_the_model_end_the_run_with_a_sentence(tiny, tmp_path, monkeypatch):
    from corpusvec.pipeline.runners.failures import explanation

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(tiny, tmp_path / "model")
    with pytest.raises(Exception, match="is not on") as caught:
        run(str(tmp_path / "model"), tmp_path, lambda: shutil.rmtree(tmp_path / "model"))
    said = explanation(caught.value)
    assert said.startswith(f"--model={tmp_path}/model: is not on")
    assert "\n" not in said
