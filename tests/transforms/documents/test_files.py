"""Input files: which there are, what they are called, and what is refused before any work."""

from __future__ import annotations

import bz2
import gzip
import os
import re
import socket

import pytest
import zstandard

from corpusvec.transforms.documents.inputs import (
    ChangedInput,
    InputFile,
    check_unchanged,
    match_inputs,
    open_input,
    refuse_output_inside_inputs,
    split_patterns,
)
from corpusvec.transforms.documents.streams import BrokenInput
from corpusvec.transforms.storage.stores import Outage

HIDDEN = [".a.txt", "x/.git/d.md", "x/.c.txt"]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    for name in [
        *HIDDEN,
        "a.txt",
        "b.txt",
        "x/a.txt",
        "x/y/c.txt",
        "odd[1].txt",
        "odd1.txt",
        "d.md",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MATCHES = {
    "a file": (["a.txt"], {"a.txt": "a.txt"}),
    "a file in a folder": (["x/y/c.txt"], {"x/y/c.txt": "c.txt"}),
    "one folder": (["?.txt"], {"a.txt": "a.txt", "b.txt": "b.txt"}),
    "from the first wildcard": (["x*/*.txt"], {"x/a.txt": "x/a.txt"}),
    "all below": (["x/**.txt"], {"x/a.txt": "a.txt", "x/y/c.txt": "y/c.txt"}),
    "each once": (["b.txt", "?.txt", "./a.txt", "./?.txt"], {"a.txt": "a.txt", "b.txt": "b.txt"}),
    "sorted": (["b.txt", "a.txt"], {"a.txt": "a.txt", "b.txt": "b.txt"}),
    "a name with wildcards": (["odd[1].txt"], {"odd[1].txt": "odd[1].txt"}),
    "a hidden folder, named": (
        ["x/.git/*", "**/.git/*.md"],
        {"x/.git/d.md": "d.md"},
    ),
    "hidden, with a dot": ([".*.txt", "x/.*/*"], {".a.txt": ".a.txt", "x/.git/d.md": ".git/d.md"}),
    "a hidden file, named": ([".a.txt"], {".a.txt": ".a.txt"}),
    "a class": (["odd[12]*.txt"], {"odd1.txt": "odd1.txt"}),
}


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize(("patterns", "names"), MATCHES.values(), ids=MATCHES)
def test_matched_files_and_their_names(corpus, patterns, names, absolute):
    root = f"{corpus}/" if absolute else ""
    found = match_inputs([root + pattern for pattern in patterns])
    relative = {os.path.relpath(file.path): file.name for file in found}
    assert relative == names
    assert list(relative) == list(names)
    assert [file.size for file in found] == [len(name) for name in names]


def test_relative_patterns_do_not_mind_the_current_folder(tmp_path, monkeypatch):
    here = tmp_path / "odd [folder]"
    here.mkdir()
    (here / "a.txt").touch()
    monkeypatch.chdir(here)
    assert match_inputs(["*.txt"]) == [InputFile("a.txt", "a.txt", 0, os.stat("a.txt").st_mtime)]
    with pytest.raises(ValueError, match="--output=out"):
        refuse_output_inside_inputs("out", ["**"])


def test_names_can_start_from_a_folder(corpus):
    found = match_inputs(["a.txt", f"{corpus}/x/*.txt"], id_root=".")
    assert {file.name for file in found} == {"a.txt", "x/a.txt"}


REFUSED = {
    "nothing there": (["no*.txt"], None, r"--input=no\*.txt: matches no file"),
    "no such file": (["no.txt"], None, "--input=no.txt: matches no file"),
    "no such folder": (["no/*.txt"], None, r"--input=no/\*.txt: matches no file"),
    "one of two": (["a.txt", "no.txt"], None, "--input=no.txt: matches no file"),
    "a folder": (["x"], None, r"--input=x: is a folder; .* x/\*.txt"),
    "a folder with a slash": (["x/"], None, r"--input=x/: is a folder; .* x/\*.txt"),
    "unknown scheme": (["nosuch://a/b"], None, "--input=nosuch://a/b: nosuch:// is no file sys"),
    "a page of the web": (["https://a.org/*.txt"], None, "https:// is no file .* fetch the files"),
    "hidden only": (["x/.git/no*", "*.git/*"], None, r"--input=x/\.git/no\*: matches no file"),
    "outside of the root": (["a.txt"], "x", "--id_root=x: a.txt is not inside"),
    "one name": (
        ["a.txt", "x/a.txt"],
        None,
        "a.txt and x/a.txt would both be called a.txt .*--id_root",
    ),
}


@pytest.mark.parametrize(("patterns", "root", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_inputs(corpus, patterns, root, message):
    with pytest.raises(ValueError, match=message) as caught:
        match_inputs(patterns, root)
    assert "\n" not in str(caught.value)


def special(folder, kind: str) -> str:
    """Something in a folder that is no file; its name ends in `.txt`."""
    path = str(folder / f"{kind.replace(' ', '_')}.txt")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path)
    elif kind == "link to a pipe":
        os.mkfifo(folder / "behind")
        os.symlink("behind", path)
    elif kind == "dangling link":
        os.symlink("/nowhere/at/all", path)
    elif kind == "circle":
        os.symlink(path, path)
    elif kind == "link to a device":
        os.symlink("/dev/zero", path)
    return path


SPECIAL = {
    "pipe": "is a pipe, not a file",
    "socket": "is a socket, not a file",
    "link to a pipe": "is a pipe, not a file",
    "link to a device": "is a device, not a file",
    "dangling link": "is a link to /nowhere/at/all that leads nowhere",
    "circle": "is a link to .* that leads in a circle",
}


@pytest.mark.parametrize(("kind", "said"), SPECIAL.items(), ids=SPECIAL)
@pytest.mark.parametrize("pattern", ["x/*.txt", "**", "*/*", "{path}"])
def test_what_is_no_file_is_named(corpus, monkeypatch, kind, said, pattern):
    monkeypatch.chdir(corpus)
    path = os.path.relpath(special(corpus / "x", kind))
    with pytest.raises(
        ValueError, match=rf"^--input=\S+: ({path} )?{said}; put a file in"
    ) as caught:
        match_inputs([pattern.format(path=path)])
    assert path in str(caught.value)


def test_what_is_no_file_and_does_not_match_does_no_harm(corpus):
    for kind in SPECIAL:
        special(corpus / "x" / "y", kind)
    assert [file.path for file in match_inputs(["x/*.txt", "x/y/*c.txt"])] == [
        "x/a.txt",
        "x/y/c.txt",
    ]


def test_folders_that_match_are_told(corpus):
    notes = []
    match_inputs(["x/*", "x/**.txt", "b*"], notes=notes)
    said = "--input=x/*: matches the folder x/y and reads no file in it; x/** reads all below"
    assert notes == [said]
    (corpus / "z.txt").mkdir()
    os.symlink("x", corpus / "link.txt")
    notes.clear()
    match_inputs(["*.txt"], notes=notes)
    assert notes[0].startswith("--input=*.txt: matches 2 folders (link.txt, …) and reads no file")


def test_links_are_followed_as_in_a_shell(corpus):
    os.symlink("x", corpus / "link")
    os.symlink("..", corpus / "x" / "up")
    assert [file.path for file in match_inputs(["l*/*.txt"])] == ["link/a.txt"]
    assert "link/a.txt" not in {file.path for file in match_inputs(["**/*.txt"])}
    os.symlink("../b.txt", corpus / "x" / "b.txt")
    assert [file.size for file in match_inputs(["x/b*"])] == [5]


def test_what_must_not_be_read_is_named(corpus, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("b.txt"))
    for pattern in ("*.txt", "b.txt"):
        with pytest.raises(ValueError, match=r"^--input=.*Permission denied: 'b\.txt'"):
            match_inputs([pattern])
    assert match_inputs(["a*.txt"])


def test_a_folder_that_must_not_be_listed_is_named_where_it_matters(corpus, monkeypatch):
    scandir = os.scandir

    def guarded(path):
        if path == "x/y/":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(ValueError, match=r"^--input=\*\*: .*Permission denied: 'x/y/'"):
        match_inputs(["**"])
    assert match_inputs(["x/*.txt", "*/a*"])


CHANGES = {
    "cut": (lambda path: os.truncate(path, 2), "had 5 bytes, and now it has 2"),
    "longer": (lambda path: path.write_text("a.txt and more"), "5 bytes, and now it has 14"),
    "as long, written again": (lambda path: os.utime(path, (5, 5)), "written to at 1970-01-01 00"),
    "replaced": (lambda path: os.replace(path.with_name("d.md"), path), "had 5 bytes, and now"),
    "gone": (lambda path: path.unlink(), "had 5 bytes, and now it is gone"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "cannot be checked again (is a"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_a_file_that_changed_is_named(corpus, change, said):
    (file,) = match_inputs(["a.txt"])
    check_unchanged(file)
    change(corpus / "a.txt")
    with pytest.raises((ChangedInput, Outage), match=rf"^a\.txt: .*{re.escape(said)}"):
        check_unchanged(file)


CLOUDS = {"s3": "aws", "gs": "gcp", "hdfs": "hadoop", "azfs": "azure"}


@pytest.mark.parametrize("pattern", ["a/b/f.txt", "a/b/*.txt"], ids=["file", "wildcard"])
@pytest.mark.parametrize("scheme", CLOUDS)
def test_a_store_that_cannot_be_reached_is_told_with_its_package(monkeypatch, scheme, pattern):
    """Whatever the store's own library raises."""

    def fail(*paths):
        raise RuntimeError("no\nkey")

    monkeypatch.setattr("apache_beam.io.filesystems.FileSystems.exists", fail)
    path = f"{scheme}://{pattern}"
    monkeypatch.setattr("corpusvec.transforms.storage.stores._is_installed", lambda package: True)
    with pytest.raises(Outage, match=rf"no key.*apache-beam\[{CLOUDS[scheme]}\]") as caught:
        match_inputs([path])
    assert str(caught.value).startswith(f"--input={path}: ")
    refuse_output_inside_inputs(f"{scheme}://a/out", [path, "x/*.txt"])
    refuse_output_inside_inputs("out", [path])
    with pytest.raises(ValueError, match="--output="):
        refuse_output_inside_inputs(f"{scheme}://a/b", [f"{scheme}://a/**"])


SPLIT = {
    "one": ("a.txt", ["a.txt"]),
    "several": (" a.txt, ,b*.txt,", ["a.txt", "b*.txt"]),
    "none": (" , ", []),
    "a file with a comma": ("a, b.txt", ["a, b.txt"]),
    "a file with a comma and another": ("a, b.txt,b.txt", ["a", "b.txt", "b.txt"]),
    "home": ("~/a.txt,~/*.txt", ["{home}/a.txt", "{home}/*.txt"]),
    "home, a file with a comma": ("~/a, b.txt", ["{home}/a, b.txt"]),
    "a sign in the middle": ("a~b.txt,s3://~/a", ["a~b.txt", "s3://~/a"]),
}


@pytest.mark.parametrize(("text", "patterns"), SPLIT.values(), ids=SPLIT)
def test_commas_separate_patterns_unless_they_name_one_file(corpus, monkeypatch, text, patterns):
    (corpus / "a, b.txt").touch()
    monkeypatch.setenv("HOME", str(corpus))
    assert split_patterns(text) == [pattern.format(home=corpus) for pattern in patterns]


def test_names_need_not_differ_where_ids_do_not_hold_them(corpus):
    found = match_inputs(["a.txt", "x/a.txt"], unique_names=False)
    assert [(file.path, file.name) for file in found] == [("a.txt", "a.txt"), ("x/a.txt", "a.txt")]


COMPRESS = {
    ".txt": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_content_is_decompressed_and_all_bytes_are_told(tmp_path, suffix):
    text = b"".join(b"line %d\n" % n for n in range(100_000))
    path = tmp_path / f"f{suffix}"
    path.write_bytes(COMPRESS[suffix](text) + COMPRESS[suffix](b"end"))
    told = []
    with open_input(str(path), told.append) as stream:
        assert stream.read() == text + b"end"
    assert sum(told) == path.stat().st_size


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".zst"])
def test_a_cut_off_file_is_named(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    path.write_bytes(COMPRESS[suffix](b"text" * 1000)[:-3])
    with (
        open_input(str(path)) as stream,
        pytest.raises(BrokenInput, match=rf"f\{suffix}: .*cut off"),
    ):
        stream.read()


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(BrokenInput, match=r"gone\.txt: cannot be opened .*--input"):
        open_input(str(tmp_path / "gone.txt"))


INSIDE = {
    "all files": "out/**",
    "its own folder": "out/*",
    "any folder": "**.parquet",
    "rejected lines": "out/snapshots/*/rejected/*.jsonl",
    "one snapshot": "out/snapshots/20240101T000000Z-abc/rejected/*.jsonl",
    "all json": "./**/*.json",
    "from above": "/**.jsonl",
    "pointer": "out/LATEST",
    "with dots": "x/../out/*",
}


@pytest.mark.parametrize("pattern", INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize("output", ["out", "./out/", "{corpus}/out"])
def test_an_output_that_would_be_read_is_refused(corpus, pattern, output):
    with pytest.raises(ValueError, match=r"--output=.*out.* --input="):
        refuse_output_inside_inputs(output.format(corpus=corpus), ["a.txt", pattern])


@pytest.mark.parametrize("pattern", ["*.txt", "x/*", "out.json", "output/*", "out/*.txt", "*.json"])
def test_an_output_beside_the_inputs_is_accepted(corpus, pattern):
    refuse_output_inside_inputs("out", [pattern])
