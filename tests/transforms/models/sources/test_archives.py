"""Archives: nothing in them reaches outside of their folder, and packing is repeatable."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time

import pytest

from corpusvec.transforms.models.sources.archives import inner_folder, pack, unpack

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"index", "assets/v.txt": b"v"}


def member(name, content=b"", kind=tarfile.REGTYPE, **about):
    """A header and what follows it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in about.items():
        setattr(info, key, value)
    return info, content


def archive(*members, suffix=b"") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return gzip.compress(raw.getvalue() + suffix)


def unpacked(tmp_path, content: bytes, limit=None):
    file, folder = tmp_path / "model.tar.gz", tmp_path / "inside" / "model"
    file.write_bytes(content)
    folder.mkdir(parents=True)
    unpack(str(file), str(folder), limit)
    return folder


def contents(folder) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "source"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "empty").mkdir()
    return folder


def test_what_was_packed_is_unpacked(tmp_path, model):
    pack(str(model), str(tmp_path / "packed.tgz"))
    folder = unpacked(tmp_path, (tmp_path / "packed.tgz").read_bytes())
    assert contents(folder) == FILES
    assert (folder / "empty").is_dir()


def test_packing_again_gives_the_same_bytes(tmp_path, model):
    pack(str(model), str(tmp_path / "a.tar.gz"))
    time.sleep(0.01)
    for path in model.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    other = tmp_path / "other" / "place"
    other.parent.mkdir()
    model.rename(other)
    pack(str(other), str(tmp_path / "b.tar.gz"))
    packed = (tmp_path / "a.tar.gz").read_bytes()
    assert packed == (tmp_path / "b.tar.gz").read_bytes()
    assert packed[3:8] == b"\0" * 5  # neither a name nor a time in gzip's header
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert "saved_model.pb" in tar.getnames()
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "b.tar.gz", "other"]


def test_an_archive_is_not_packed_into_itself(model):
    with pytest.raises(ValueError, match=r"lies in the folder .* put it beside"):
        pack(str(model), str(model / "model.tar.gz"))


def test_the_forms_that_archives_have(tmp_path):
    packed = archive(
        member("./", kind=tarfile.DIRTYPE),
        member("./a", b"1", mode=0o6777, uid=7),
        member("b/c", b"2"),  # its folder has no member of its own
        member("b", kind=tarfile.DIRTYPE),
        member("long/" + "n" * 150, b"3"),
        member("dots..in.name", b"4"),
        suffix=b"\0" * 10240,
    )
    folder = unpacked(tmp_path, packed)
    assert contents(folder) == {"a": b"1", "b/c": b"2", f"long/{'n' * 150}": b"3"} | {
        "dots..in.name": b"4"
    }
    assert (folder / "a").stat().st_mode & 0o7111 == 0


WHOLE = archive(member("saved_model.pb", os.urandom(50_000)), member("b", b"2"))
DAMAGED = WHOLE[:30_000] + bytes([WHOLE[30_000] ^ 1]) + WHOLE[30_001:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive(member("../escape", b"x")), r"'\.\./escape' would lie outside"),
        (archive(member("a/../../escape", b"x")), "would lie outside"),
        (archive(member("/tmp/escape", b"x")), "'/tmp/escape' would lie outside"),
        (archive(member("..", kind=tarfile.DIRTYPE)), "would lie outside"),
        (
            archive(
                member("link", kind=tarfile.SYMTYPE, linkname=".."), member("link/escape", b"x")
            ),
            "'link' is neither a file nor a folder",
        ),
        (
            archive(member("a", b"x"), member("b", kind=tarfile.LNKTYPE, linkname="a")),
            "'b' is neither",
        ),
        (archive(member("dev", kind=tarfile.CHRTYPE)), "neither"),
        (archive(member("pipe", kind=tarfile.FIFOTYPE)), "neither"),
        (archive(member("a", b"x"), member("./a", b"y")), r"'\./a' is there twice"),
        (archive(member("a", b"x"), member("a/b", b"y")), "'a/b' is file and folder"),
        (archive(member("a/b", b"x"), member("a", b"y")), "'a' is file and folder"),
        (archive(member("a", b"x"), member("a", kind=tarfile.DIRTYPE)), "twice|file and folder"),
        (archive(member("a/" + "n" * 300, b"x")), r"^a/n{38}… is too long for a file's name$"),
        (archive(member(("n" * 250 + "/") * 20 + "n", b"x")), r"^n{40}… is too long"),
        (archive(member("n/" * 900 + "n", b"x")), "^(n/){20}… lies in 900 folders; 32 are allowed"),
        (WHOLE[:30_000], "cut short or damaged"),
        (WHOLE[:-8], "cut short or damaged"),
        (WHOLE[:-2] + b"??", "cut short or damaged"),
        (DAMAGED, "cut short or damaged"),
        (gzip.compress(gzip.decompress(WHOLE)[:20_000]), "cut short or damaged"),
        (gzip.compress(gzip.decompress(WHOLE)[:51712] + b"no header" * 400), "damaged"),
        (gzip.compress(b"no tar at all"), "cut short or damaged"),
        (b"", "is no .tar.gz archive"),
        (b"<!DOCTYPE html><html>", "looks like a web page"),
    ],
    ids=[
        "dots",
        "dots inside",
        "absolute",
        "the folder above",
        "symbolic link",
        "hard link",
        "device",
        "pipe",
        "twice",
        "file, then folder",
        "folder, then file",
        "file, then folder of the name",
        "a name too long",
        "a path too long",
        "too many folders in each other",
        "cut",
        "checksum cut",
        "checksum wrong",
        "damaged",
        "tar cut in a whole gzip",
        "a header that is none",
        "no tar",
        "empty",
        "web page",
    ],
)
def test_what_is_refused(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        unpacked(tmp_path, content)
    assert sorted(os.listdir(tmp_path)) == ["inside", "model.tar.gz"]
    assert os.listdir(tmp_path / "inside") == ["model"]
    assert not os.path.exists("/tmp/escape")


def lying(size: int) -> bytes:
    """A header that promises so many bytes, and none."""
    info = tarfile.TarInfo("a")
    info.size = size
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)


BOMB = archive(member("zeros", bytes(20 << 20)))


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (BOMB, 1 << 20),
        (archive(*(member(str(n), bytes(1000)) for n in range(100))), 50_000),
        (archive(member("a", b"x"), suffix=bytes(20 << 20)), 1 << 20),
        (lying(40 << 30), None),
    ],
    ids=["one file", "many files", "after the end", "said in a header"],
)
def test_no_archive_unpacks_to_more_than_its_limit(tmp_path, content, limit):
    with pytest.raises(ValueError, match=r"unpacks to more than the .* allowed for its size"):
        unpacked(tmp_path, content, limit)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written <= len(content) + (limit or 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lying(-1024), "neither|damaged"),
        (
            archive(member("n" * (8 << 20), b"x")),
            "damaged",
        ),
    ],
    ids=["negative size", "endless name"],
)
def test_headers_that_lie(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        unpacked(tmp_path, content)


@pytest.mark.parametrize(
    ("names", "inner"),
    [
        (["model/saved_model.pb"], "model"),
        (["model/saved_model.pb", "._model"], "model"),
        (["path/to/model/saved_model.pb"], "path/to/model"),
        (["saved_model.pb", "variables/x"], ""),
        (["a/saved_model.pb", "b/saved_model.pb"], ""),
        (["saved_model.pb"], ""),
    ],
    ids=[
        "one folder",
        "with a hidden file",
        "a path of them",
        "top level",
        "two folders",
        "one file",
    ],
)
def test_the_folder_that_holds_the_model(tmp_path, names, inner):
    folder = unpacked(tmp_path, archive(*(member(name, b"x") for name in names)))
    assert inner_folder(str(folder)) == os.path.join(folder, inner).rstrip("/")
