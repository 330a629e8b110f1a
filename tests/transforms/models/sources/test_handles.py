"""Handles: each model in the cache is whole or not there, and is fetched once."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from apache_beam.io import filesystem
from apache_beam.utils import retry
from safetensors.numpy import load_file

from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.sources import downloads, handles, hubs
from corpusvec.transforms.models.sources.archives import pack
from corpusvec.transforms.models.sources.handles import download_address, is_handle, local_model
from corpusvec.transforms.storage import file_digests, locks, stores
from tests import servers
from tests.conftest import ROOT
from tests.models import hugging_face_folder
from tests.servers import Site, body, cut_short, hugging_face_hub, one_after_another, status
from tests.torch_writer import write as write_torch
from tests.transforms.models.sources.test_archives import archive, contents, member

pytestmark = pytest.mark.usefixtures("program")

GRAPH = b"a graph with VarHandleOp in it"
FILES = {
    "saved_model.pb": GRAPH,
    "assets/vocab.txt": b"[PAD]\n[UNK]\n",
    "variables/variables.data-00000-of-00001": os.urandom(300_000),
    "variables/variables.index": b"index",
}
MODEL = archive(
    *(member(name, kind=tarfile.DIRTYPE) for name in ("assets", "variables")),
    *(member(name, content) for name, content in FILES.items()),
)
OTHER = archive(member("saved_model.pb", b"another graph"))
COMPRESSED = "/model/1?tf-hub-format=compressed"


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(downloads, "READ_SECONDS", 0.3)


@pytest.fixture
def site():
    with servers.serving(Site()) as site:
        site.answers["/model/1"] = body(MODEL)
        yield site


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def handle(site):
    return f"{site.address}/model/1"


@pytest.fixture
def fetched(handle, cache, capsys):
    """An entry that is there, as a path, and nothing said of it any more."""
    folder = Path(local_model(handle, str(cache)))
    capsys.readouterr()
    file_digests._sha256.cache_clear()  # as in a new process
    return folder


def entry(handle: str, cache: Path) -> str:
    return str(cache / hashlib.sha1(handle.encode()).hexdigest())


def left_in(cache: Path) -> list[str]:
    return sorted(os.listdir(cache)) if cache.exists() else []


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("https://tfhub.dev/google/nnlm-en-dim50/2", True),
        ("hf://owner/name", True),
        ("models/bert", False),
        ("model.tar.gz", True),
        ("gone.tar.gz", False),
        ("folder.tar.gz", False),
    ],
)
def test_what_is_a_handle(tmp_path, monkeypatch, model, answer):
    monkeypatch.chdir(tmp_path)
    Path("model.tar.gz").write_bytes(MODEL)
    Path("folder.tar.gz").mkdir()
    assert is_handle(model) is answer
    if not answer:
        assert local_model(model, None) == model


@pytest.mark.parametrize(
    ("handle", "address"),
    [
        ("https://tfhub.dev/a/2", "https://tfhub.dev/a/2?tf-hub-format=compressed"),
        ("https://a.example/m.tar.gz", "https://a.example/m.tar.gz"),
        ("https://a.example/m.tgz?key=1", "https://a.example/m.tgz?key=1"),
        ("https://a.example/m?k=%2F&b", "https://a.example/m?k=%2F&b&tf-hub-format=compressed"),
        ("https://a.example/m?tf-hub-format=x", "https://a.example/m?tf-hub-format=x"),
    ],
    ids=["TF Hub", "archive", "archive with a query", "query", "format given"],
)
def test_the_address_of_a_handle(handle, address):
    assert download_address(handle) == address


def test_a_handle_is_fetched_once_into_the_cache(site, handle, cache, capsys):
    folder = local_model(handle, str(cache))
    assert folder == entry(handle, cache)
    assert contents(Path(folder)) == FILES
    assert capsys.readouterr().err == f"corpusvec: fetching {handle}\n"
    name = os.path.basename(folder)
    assert left_in(cache) == [name, f"{name}.corpusvec.json", f"{name}.descriptor.txt"]
    record = json.loads((cache / f"{name}.corpusvec.json").read_text())
    assert record["handle"] == handle
    assert record["files"]["saved_model.pb"] == {
        "size": len(GRAPH),
        "sha256": hashlib.sha256(GRAPH).hexdigest(),
    }
    assert local_model(handle, str(cache)) == folder
    assert site.asked == {COMPRESSED: 1}
    assert capsys.readouterr().err == ""


def test_a_warm_cache_needs_no_server(cache):
    with servers.serving(Site()) as site:
        site.answers["/model/1"] = body(MODEL)
        handle = f"{site.address}/model/1"
        folder = local_model(handle, str(cache))
    assert local_model(handle, str(cache)) == folder


def test_the_default_cache_is_that_of_tensorflow_hub(handle, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    assert local_model(handle, None) == entry(handle, tmp_path / "hub")
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert local_model(handle, None) == entry(handle, tmp_path / "tfhub_modules")


def test_tensorflow_hub_and_this_use_each_others_entries(site, cache, tmp_path, monkeypatch):
    hub = hubs.hub()
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(cache))
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pack(str(folder), str(tmp_path / "model.tar.gz"))
    for path in ("/theirs/1", "/ours/1"):
        site.answers[path] = body((tmp_path / "model.tar.gz").read_bytes())

    theirs = f"{site.address}/theirs/1"
    resolved = hub.resolve(theirs)
    assert local_model(theirs, None) == resolved
    assert contents(Path(resolved)) == FILES
    assert os.path.exists(f"{resolved}.corpusvec.json")
    (Path(resolved) / "saved_model.pb").write_bytes(b"damaged")  # noticed from now on
    assert contents(Path(local_model(theirs, None))) == FILES

    ours = f"{site.address}/ours/1"
    assert local_model(ours, None) == hub.resolve(ours)
    asked = {path.partition("?")[0]: count for path, count in site.asked.items()}
    assert asked == {"/theirs/1": 2, "/ours/1": 1}


def damaged(name):
    return lambda folder: (folder / name).write_bytes(b"x" * (folder / name).stat().st_size)


def emptied(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def without_files(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


DAMAGES = {
    "bytes changed": (damaged("saved_model.pb"), "saved_model.pb was changed"),
    "cut": (lambda f: (f / "saved_model.pb").write_bytes(b"a"), "saved_model.pb was changed"),
    "an asset gone": (lambda f: (f / "assets/vocab.txt").unlink(), "assets/vocab.txt is missing"),
    "variables gone": (lambda f: shutil.rmtree(f / "variables"), "variables/.* is missing"),
    "folders without files": (without_files, "is missing"),
    "an empty folder": (emptied, "assets/vocab.txt is missing"),
    "a file more": (lambda f: (f / "more.txt").write_text("x"), "more.txt was added"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_fetched_again(site, handle, cache, fetched, capsys, damage, said):
    damage(fetched)
    assert contents(Path(local_model(handle, str(cache)))) == FILES
    assert site.asked[COMPRESSED] == 2
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 2
    assert notes[0].startswith(f"corpusvec: {handle}: its copy in {cache} is not used, ")
    assert re.search(f"{said}; fetching it again$", notes[0])
    name = fetched.name
    assert left_in(cache) == [name, f"{name}.corpusvec.json", f"{name}.descriptor.txt"]


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_that_cannot_be_fetched_is_an_error(
    site, handle, cache, fetched, damage, said
):
    damage(fetched)
    site.answers["/model/1"] = status(404)
    with pytest.raises(RuntimeError, match=rf"the copy in {fetched} is not used \(.*{said}.*404"):
        local_model(handle, str(cache))
    name = fetched.name
    assert left_in(cache) == [name, f"{name}.corpusvec.json", f"{name}.descriptor.txt"]


@pytest.mark.parametrize(
    "lost",
    ["saved_model.pb", "variables", "variables/variables.index", FILES.keys() - {"saved_model.pb"}],
    ids=["graph", "variables", "index", "all but the graph"],
)
def test_half_an_entry_of_tensorflow_hub_is_fetched_again(site, handle, cache, fetched, lost):
    os.unlink(f"{fetched}.corpusvec.json")
    for name in [lost] if isinstance(lost, str) else lost:
        path = fetched / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert contents(Path(local_model(handle, str(cache)))) == FILES
    assert site.asked[COMPRESSED] == 2


def test_refresh_fetches_what_is_there(site, handle, cache, fetched):
    site.answers["/model/1"] = body(OTHER)
    assert contents(Path(local_model(handle, str(cache)))) == FILES
    assert contents(Path(local_model(handle, str(cache), refresh=True))) == {
        "saved_model.pb": b"another graph"
    }
    assert contents(Path(local_model(handle, str(cache)))) == {"saved_model.pb": b"another graph"}
    assert site.asked[COMPRESSED] == 2


def test_who_reads_while_another_refreshes_finds_a_whole_entry(site, handle, cache, fetched):
    def refresh():
        for _ in range(20):
            local_model(handle, str(cache), refresh=True)

    other = threading.Thread(target=refresh)
    other.start()
    while other.is_alive():
        file_digests._sha256.cache_clear()
        assert local_model(handle, str(cache)) == str(fetched)
    assert site.asked[COMPRESSED] == 1 + 20  # nobody took the moment between for damage


def test_a_refresh_that_fails_leaves_what_is_there(site, handle, cache, fetched):
    site.answers["/model/1"] = cut_short(MODEL)
    before = left_in(cache)
    with pytest.raises(RuntimeError, match="cut short"):
        local_model(handle, str(cache), refresh=True)
    assert left_in(cache) == before
    assert contents(Path(local_model(handle, str(cache)))) == FILES


FAILURES = {
    "404": (status(404), "404 Not Found; check the address"),
    "always 500": (status(500), r"500 Internal Server Error \(tried 3 times\)"),
    "cut short": (cut_short(MODEL), "the answer was cut short"),
    "cut where it lies": (body(MODEL[:-1000]), "archive is cut short or damaged"),
    "a web page": (body(b"<html>"), "looks like a web page"),
    "dots": (body(archive(member("../x", b"x"))), "would lie outside of the model's folder"),
    "absolute": (body(archive(member("/x", b"x"))), "would lie outside"),
    "a link": (
        body(archive(member("a", kind=tarfile.SYMTYPE, linkname="/"))),
        "'a' is neither a file nor a folder",
    ),
    "a hard link": (
        body(archive(member("a", kind=tarfile.LNKTYPE, linkname="/etc/passwd"))),
        "'a' is neither a file nor a folder",
    ),
    "no model": (body(archive(member("README.md", b"x"))), "no model that corpusvec knows"),
    "no variables": (body(archive(member("saved_model.pb", GRAPH))), "variables.index is missing"),
    "a shard gone": (
        body(
            archive(
                member("saved_model.pb", GRAPH),
                member("variables/variables.index", b"x"),
                member("variables/variables.data-00000-of-00002", b"x"),
            )
        ),
        "of its 2 variables.data files some are gone",
    ),
}


@pytest.mark.parametrize(("answer", "said"), FAILURES.values(), ids=FAILURES)
def test_what_fails_leaves_nothing_in_the_cache(site, handle, cache, tmp_path, answer, said):
    site.answers["/model/1"] = answer
    with pytest.raises((ValueError, RuntimeError), match=said) as caught:
        local_model(handle, str(cache))
    assert str(caught.value).startswith(f"--model={handle}: ")
    assert "\n" not in str(caught.value)
    assert left_in(cache) == []
    assert left_in(tmp_path) == ["cache"]


def test_an_archive_above_its_limit_leaves_nothing_in_the_cache(site, handle, cache, monkeypatch):
    monkeypatch.setattr("corpusvec.transforms.models.sources.archives._limit", lambda size: 1 << 20)
    site.answers["/model/1"] = body(archive(member("saved_model.pb", bytes(30 << 20))))
    with pytest.raises(ValueError, match="unpacks to more than the 1048576 B allowed"):
        local_model(handle, str(cache))
    assert left_in(cache) == []


def test_what_is_secret_in_a_handle_is_not_shown(site, cache, capsys):
    handle = site.address.replace("//", "//user:password@") + "/model/1?key=secret"
    local_model(handle, str(cache))
    site.answers["/model/1"] = status(403)
    with pytest.raises(RuntimeError) as caught:
        local_model(handle, str(cache), refresh=True)
    beside = "".join(path.read_text() for path in cache.glob("*.*"))
    for text in (str(caught.value), capsys.readouterr().err, beside):
        assert "/model/1?key=…" in text
        assert "secret" not in text
        assert "password" not in text


def start(script: str, *arguments: str | os.PathLike) -> subprocess.Popen:
    """In a process of its own."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


# These are about the cache: tensorflow-hub, which takes seconds to import, has nothing to say.
WITHOUT_HUB = (
    "import sys\n"
    "from corpusvec.transforms.models.sources import hubs\n"
    "from corpusvec.transforms.models.sources.handles import local_model\n"
    "hubs.resolved = str\n"
)
ASK = WITHOUT_HUB + "print(local_model(*sys.argv[1:]))"
# Fetches again, and is killed before the change of names with that number.
DIE_AT = f"""{WITHOUT_HUB}
import os, signal
left = int(sys.argv[3])
def counted(real):
    def rename(*args):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*args)
    return rename
os.rename, os.replace = counted(os.rename), counted(os.replace)
local_model(sys.argv[1], sys.argv[2], refresh=True)
"""


def slowly(content: bytes, begun: threading.Event, go_on: threading.Event):
    """Half of an answer; the rest when `go_on` is set."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        begun.set()
        go_on.wait(20)
        handler.wfile.write(content[len(content) // 2 :])

    return answer


def test_of_many_processes_one_fetches(site, handle, cache):
    begun, go_on = threading.Event(), threading.Event()
    site.answers["/model/1"] = slowly(MODEL, begun, go_on)
    processes = [start(ASK, handle, cache) for _ in range(4)]
    assert begun.wait(30)
    time.sleep(0.5)  # the others come to wait
    go_on.set()
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert said == [entry(handle, cache) + "\n"] * 4
    assert site.asked == {COMPRESSED: 1}
    name = os.path.basename(entry(handle, cache))
    assert left_in(cache) == [name, f"{name}.corpusvec.json", f"{name}.descriptor.txt"]


def test_waiting_is_said(site, handle, cache, capsys, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    site.answers["/model/1"] = slowly(MODEL, begun, go_on)
    threads = [threading.Thread(target=local_model, args=(handle, str(cache))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    time.sleep(0.25)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(capsys.readouterr().err.splitlines()) == [  # said at the same time
        f"corpusvec: fetching {handle}",
        f"corpusvec: {handle}: waiting for another process that fetches it",
    ]


def test_a_process_killed_while_it_fetches_is_made_up_for(site, handle, cache):
    begun, go_on = threading.Event(), threading.Event()
    site.answers["/model/1"] = one_after_another(slowly(MODEL, begun, go_on), body(MODEL))
    with start(ASK, handle, cache) as process:
        assert begun.wait(30)
        process.kill()
    go_on.set()
    name = os.path.basename(entry(handle, cache))
    assert left_in(cache) == [f"{name}.corpusvec.lock", f"{name}.corpusvec.tmp"]
    other = f"{site.address}/other.tar.gz"
    site.answers["/other.tar.gz"] = body(OTHER)
    local_model(other, str(cache))  # another handle's fetching takes the leftovers away
    assert not [left for left in left_in(cache) if left.startswith(name)]
    assert contents(Path(local_model(handle, str(cache)))) == FILES


def test_leftovers_of_the_living_stay(site, handle, cache):
    begun, go_on = threading.Event(), threading.Event()
    site.answers["/model/1"] = slowly(MODEL, begun, go_on)
    process = start(ASK, handle, cache)
    assert begun.wait(30)
    site.answers["/other.tar.gz"] = body(OTHER)
    local_model(f"{site.address}/other.tar.gz", str(cache))
    go_on.set()
    assert process.communicate(timeout=60)[0] == entry(handle, cache) + "\n"


def test_killed_at_any_moment_an_entry_is_whole_or_not_there(site, handle, cache):
    """Every change of names is a moment: before and after it, hub and this find nothing or all."""
    new = {"saved_model.pb": b"another graph"}
    codes = []
    for step in range(20):
        shutil.rmtree(cache, ignore_errors=True)
        site.answers["/model/1"] = body(MODEL)
        folder = Path(local_model(handle, str(cache)))
        site.answers["/model/1"] = body(OTHER)
        with start(DIE_AT, handle, cache, str(step)) as process:
            codes.append(process.wait(60))
        assert not folder.exists() or contents(folder) in (FILES, new)
        before = site.asked[COMPRESSED]
        was_there = folder.exists()
        file_digests._sha256.cache_clear()
        assert contents(Path(local_model(handle, str(cache)))) in (FILES, new)
        assert site.asked[COMPRESSED] == before + (not was_there)
        assert not [name for name in left_in(cache) if name.endswith((".tmp", ".lock"))]
        if process.returncode == 0:
            break
    assert len(codes) > 4
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert codes[-1] == 0


def test_a_cache_that_cannot_be_written_can_be_read(handle, cache, fetched, monkeypatch):
    def refused(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(locks, "try_for", refused)  # tests may run as root
    assert local_model(handle, str(cache)) == str(fetched)
    os.unlink(f"{fetched}.corpusvec.json")
    assert local_model(handle, str(cache)) == str(fetched)
    with pytest.raises(RuntimeError, match=r"cannot be kept in .* \(Permission denied\); choose"):
        local_model(f"{handle}1", str(cache))


def test_a_cache_that_is_a_file_is_one_sentence(handle, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(RuntimeError, match=r"cannot be kept in .*--model_cache"):
        local_model(handle, str(tmp_path / "cache"))


def test_a_local_archive_is_unpacked_once_and_again_when_it_changes(tmp_path, cache):
    file = tmp_path / "a model.tar.gz"
    file.write_bytes(MODEL)
    folder = local_model(str(file), str(cache))
    assert contents(Path(folder)) == FILES
    made = os.stat(folder).st_ino
    assert local_model(file.as_uri(), str(cache)) == folder
    assert os.stat(folder).st_ino == made
    about = file.stat()
    file.write_bytes(OTHER)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert contents(Path(local_model(str(file), str(cache)))) == {
        "saved_model.pb": b"another graph"
    }
    assert local_model(tmp_path.as_uri(), str(cache)) == str(tmp_path)


def test_an_archive_with_the_model_in_a_folder_of_its_own(site, cache):
    packed = archive(*(member(f"model/{name}", content) for name, content in FILES.items()))
    site.answers["/m.tgz"] = body(packed)
    folder = local_model(f"{site.address}/m.tgz", str(cache))
    assert folder == os.path.join(entry(f"{site.address}/m.tgz", cache), "model")
    assert contents(Path(folder)) == FILES
    assert site.asked == {"/m.tgz": 1}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ftp://a/b", r"ftp:// is no kind of address .* https://"),
        ("hf://bert", r"write hf://owner/name\[@revision\]"),
        ("hf://a/b/c", "write hf://owner/name"),
        ("hf://a/b@", "write hf://owner/name"),
        ("file:///nowhere/model.tar.gz", "there is no file /nowhere/model.tar.gz"),
        ("file://models/bert.tar.gz", "has three slashes"),
        ("http://[secret/", "--model: this address cannot be read"),
    ],
)
def test_what_is_no_handle(model, said, cache):
    with pytest.raises(ValueError, match=said):
        local_model(model, str(cache))
    assert left_in(cache) == []


@pytest.mark.parametrize(("flag", "cache"), [("--model_cache", "gs://b/c"), ("TFHUB", None)])
def test_a_cache_on_a_store_is_refused(flag, cache, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", "gs://b/c")
    with pytest.raises(ValueError, match=rf"{flag}.*=gs://b/c: is no local folder"):
        local_model("https://tfhub.dev/a/1", cache)


class _Store(filesystem.FileSystem):
    """A store in memory, for Beam."""

    objects: dict[str, bytes] = {}  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath, *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path, content in self.objects.items():
            if path.startswith(dir_or_prefix):
                yield filesystem.FileMetadata(path, len(content))

    def open(self, path, mime_type="", compression_type=""):
        return io.BytesIO(self.objects[path])

    def metadata(self, path):
        return filesystem.FileMetadata(path, len(self.objects[path]))

    # What fetching does not ask for.
    def create(self, path, mime_type="", compression_type=""): ...
    def mkdirs(self, path): ...
    def copy(self, sources, destinations): ...
    def rename(self, sources, destinations): ...
    def exists(self, path):
        return path in self.objects

    def size(self, path):
        return len(self.objects[path])

    def last_updated(self, path): ...
    def checksum(self, path): ...
    def delete(self, paths): ...


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(handles, "STORES", (*handles.STORES, "memory"))
    _Store.objects.clear()
    return _Store.objects


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_of_a_store(store, cache, end):
    store |= {f"memory://bucket/model/{name}": content for name, content in FILES.items()}
    store["memory://bucket/model/variables/"] = b""  # how some tools mark folders
    store["memory://bucket/model2/saved_model.pb"] = b"not this"
    assert contents(Path(local_model(f"memory://bucket/model{end}", str(cache)))) == FILES


def test_an_archive_of_a_store(store, cache):
    store["memory://bucket/m.tar.gz"] = MODEL
    folder = local_model("memory://bucket/m.tar.gz", str(cache))
    store.clear()
    assert contents(Path(folder)) == FILES
    assert local_model("memory://bucket/m.tar.gz", str(cache)) == folder


@pytest.mark.parametrize(
    ("objects", "handle", "said"),
    [
        ({}, "memory://bucket/model", "no files are there"),
        ({}, "memory://bucket/m.tgz", "no files are there"),
        ({"memory://bucket/model/../x": b""}, "memory://bucket/model", "would lie outside"),
        ({"memory://bucket/model/x": b""}, "memory://bucket/model", "no model that corpusvec kn"),
    ],
    ids=["no folder", "no archive", "dots", "no model"],
)
def test_what_a_store_does_not_have(store, cache, objects, handle, said):
    store |= objects
    with pytest.raises((RuntimeError, ValueError), match=f"--model={handle}: .*({said})"):
        local_model(handle, str(cache))
    assert left_in(cache) == []


@pytest.mark.parametrize("quiet", [logging.NOTSET, logging.CRITICAL], ids=["library", "program"])
def test_a_store_that_is_dead_ends_in_an_error(quiet, store, cache, monkeypatch, capsys):
    @retry.with_exponential_backoff(initial_delay_secs=0.5, factor=1.0)
    def denied():
        raise PermissionError("no credentials")

    def listed(self, prefix):
        denied()

    monkeypatch.setattr(_Store, "_list", listed)
    monkeypatch.setattr(stores, "SECONDS", 0.5)
    beam = logging.getLogger("apache_beam")
    level = beam.level
    beam.setLevel(quiet)
    try:
        with pytest.raises(RuntimeError, match=r"no credentials, after 0\.5 seconds; chec"):
            local_model("memory://bucket/model", str(cache))
    finally:
        beam.setLevel(level)
    assert "Traceback" not in capsys.readouterr().err
    assert left_in(cache) == []


@pytest.fixture
def hub(site, tiny, tmp_path, monkeypatch):
    """The site as the Hugging Face Hub, with a model and what others publish beside it."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", site.address)
    published = tmp_path / "published"
    shutil.copytree(tiny, published)
    unread = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx")
    for name in (*unread, "onnx/config.json", "openvino/openvino_model.xml", ".gitattributes"):
        (published / name).parent.mkdir(exist_ok=True)
        (published / name).write_bytes(b"not read")
    hugging_face_hub(site, "owner/tiny", published)
    return site


def test_a_model_of_the_hugging_face_hub(hub, tiny, cache, capfd):
    folder = local_model("hf://owner/tiny", str(cache))
    assert folder == entry("hf://owner/tiny", cache)
    assert contents(Path(folder)) == contents(Path(tiny))
    assert describe_model(folder).digest == describe_model(tiny).digest
    assert capfd.readouterr().err == "corpusvec: fetching hf://owner/tiny\n"
    asked = hub.asked.total()
    assert local_model("hf://owner/tiny", str(cache)) == folder
    assert hub.asked.total() == asked
    name = os.path.basename(folder)
    assert left_in(cache) == [name, f"{name}.corpusvec.json", f"{name}.descriptor.txt"]


def test_weights_of_pytorch_are_fetched_where_there_are_no_others(hub, tmp_path, cache):
    """Of the model, or of one of its modules."""
    folder = hugging_face_folder(tmp_path / "old", modules=("pooling", "dense"))
    whole = describe_model(str(folder)).parameters
    for place in (folder, folder / "2_Dense"):
        write_torch(place / "pytorch_model.bin", load_file(place / "model.safetensors"))
    (folder / "2_Dense" / "model.safetensors").unlink()
    hugging_face_hub(hub, "owner/half", folder)
    found = Path(local_model("hf://owner/half", str(cache)))
    assert sorted(path.name for path in found.rglob("*.bin")) == ["pytorch_model.bin"]
    assert (found / "2_Dense" / "pytorch_model.bin").is_file()
    (folder / "model.safetensors").unlink()
    hugging_face_hub(hub, "owner/old", folder)
    found = Path(local_model("hf://owner/old", str(cache)))
    assert len(list(found.rglob("pytorch_model.bin"))) == 2
    assert describe_model(str(found)).parameters == whole


def test_a_revision_of_a_model(hub, tiny, cache):
    hugging_face_hub(hub, "owner/tiny", Path(tiny), revision="v1.0")
    folder = local_model("hf://owner/tiny@v1.0", str(cache))
    assert describe_model(folder).digest == describe_model(tiny).digest


@pytest.mark.parametrize(
    ("code", "headers", "said"),
    [
        (404, {"X-Error-Code": "RepoNotFound"}, r"no such model \(status 404\); check the name"),
        (401, {"X-Error-Code": "RepoNotFound"}, r"no such model \(status 401\).*hf auth login"),
        (401, {"X-Error-Code": "GatedRepo"}, r"is gated \(status 401\); accept its terms"),
        (404, {"X-Error-Code": "RevisionNotFound"}, r"has no such revision \(status 404\)"),
        (500, {}, "cannot be fetched: the server answers 500; check the network"),
    ],
    ids=["none", "private", "gated", "revision", "broken"],
)
def test_what_the_hugging_face_hub_refuses(hub, cache, code, headers, said):
    hub.answers.clear()
    hub.fallback = status(code, headers)
    with pytest.raises(RuntimeError, match=rf"--model=hf://a/b@c: .*{said}") as caught:
        local_model("hf://a/b@c", str(cache))
    assert "\n" not in str(caught.value)
    assert left_in(cache) == []


def test_a_hub_that_is_dead(hub, cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match=r"cannot be fetched: .*refused"):
        local_model("hf://owner/tiny", str(cache))
    assert left_in(cache) == []


def test_a_part_of_a_model_is_not_kept(hub, cache):
    broken = [path for path in hub.answers if path.endswith("/model.safetensors")]
    hub.answers |= dict.fromkeys(broken, status(404))
    with pytest.raises(RuntimeError, match="cannot be fetched"):
        local_model("hf://owner/tiny", str(cache))
    assert left_in(cache) == []


@pytest.mark.parametrize("lost", ["tokenizer.json", "config.json"])
def test_half_a_model_of_the_hub_that_has_lost_its_record_too_is_fetched_again(
    hub, tiny, cache, lost, capfd
):
    """No file of it says what belongs to it, as a SavedModel's graph does."""
    folder = local_model("hf://owner/tiny", str(cache))
    os.unlink(f"{folder}.corpusvec.json")
    os.unlink(Path(folder, lost))
    assert contents(Path(local_model("hf://owner/tiny", str(cache)))) == contents(Path(tiny))
    assert "is not used, nothing says what it was made of; fetching it" in capfd.readouterr().err


def test_a_model_of_the_hub_without_weights_that_are_read(hub, cache, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    (tmp_path / "other" / "tf_model.h5").write_text("x")
    hugging_face_hub(hub, "owner/other", tmp_path / "other")
    with pytest.raises(ValueError, match=r"no model that corpusvec knows: none of saved_model\.pb"):
        local_model("hf://owner/other", str(cache))
    assert left_in(cache) == []


def test_the_default_model_is_the_same_from_the_hub(hub, minilm, cache):
    hugging_face_hub(hub, "sentence-transformers/all-MiniLM-L6-v2", Path(minilm))
    folder = local_model("hf://sentence-transformers/all-MiniLM-L6-v2", str(cache))
    assert describe_model(folder).digest == describe_model(minilm).digest


def test_a_damaged_entry_of_tensorflow_hub_is_fetched_again(site, handle, cache, tmp_path, capsys):
    """Nothing is recorded of it: the model's own index says what its files must hold."""
    from corpusvec.transforms.models.kinds import check_whole
    from tests.hub_modules import nnlm

    module = nnlm(tmp_path / "nnlm")
    pack(str(module), str(tmp_path / "nnlm.tar.gz"))
    site.answers["/model/1"] = body((tmp_path / "nnlm.tar.gz").read_bytes())
    left = cache / hashlib.sha1(handle.encode()).hexdigest()
    shutil.copytree(module, left)
    data = left / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    folder = Path(local_model(handle, str(cache), check=check_whole))
    assert folder == left
    assert contents(folder) == contents(module)
    assert "cut off" in capsys.readouterr().err


def test_a_damaged_model_is_not_kept(site, handle, cache, tmp_path):
    from corpusvec.transforms.models.kinds import check_whole
    from tests.hub_modules import nnlm

    module = nnlm(tmp_path / "nnlm")
    shutil.rmtree(module / "assets")
    pack(str(module), str(tmp_path / "nnlm.tar.gz"))
    site.answers["/model/1"] = body((tmp_path / "nnlm.tar.gz").read_bytes())
    with pytest.raises(ValueError, match=r"what was fetched is not whole: .*asset") as error:
        local_model(handle, str(cache), check=check_whole)
    assert ".corpusvec.tmp" not in str(error.value)
    assert os.listdir(cache) == []


def test_to_check_what_is_no_saved_model_loads_no_module_of_any_kind(tiny):
    """Each run pays for those."""
    script = (
        "import sys\n"
        "from corpusvec.transforms.models import kinds\n"
        "kinds.check_whole(sys.argv[1])\n"
        "loaded = {f'{kinds.__package__}.{kind.module}' for kind in kinds.KINDS.values()}\n"
        "assert not loaded & set(sys.modules), loaded & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, tiny], cwd=ROOT, check=True)


def test_a_disk_that_is_full_leaves_nothing_behind(handle, cache):
    script = (
        f"{WITHOUT_HUB}import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: local_model(*sys.argv[1:])\n"
        "except RuntimeError as error: print(error)"
    )
    command = [sys.executable, "-c", script, handle, str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith(f"--model={handle}: cannot be kept in {cache} (File too large)")
    assert left_in(cache) == []
