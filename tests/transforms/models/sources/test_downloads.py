"""Downloads: whole or an error, after a bounded number of tries, whatever the server does."""

from __future__ import annotations

import os
import socket
import time

import pytest

from corpusvec.transforms.models.sources import downloads
from tests import servers
from tests.servers import Site, body, chunked, cut_short, one_after_another, redirect, status

CONTENT = os.urandom(700_000)


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(downloads, "READ_SECONDS", 0.3)
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.5)


@pytest.fixture
def site():
    with servers.serving(Site()) as site:
        yield site


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ([body(CONTENT)], 1),
        ([chunked(CONTENT)], 1),
        ([status(500), body(CONTENT)], 2),
        ([status(503), status(429), body(CONTENT)], 3),
        ([cut_short(CONTENT), body(CONTENT)], 2),
        ([chunked(CONTENT, whole=False), body(CONTENT)], 2),
        ([body(CONTENT, {"Content-Encoding": "gzip"})], 1),
    ],
    ids=[
        "at once",
        "in chunks",
        "after an error",
        "after two errors",
        "after a part of it",
        "after a part in chunks",
        "archives are not unzipped on the way",
    ],
)
def test_a_file_is_fetched_whole(tmp_path, site, answers, requests):
    site.answers["/a"] = one_after_another(*answers)
    downloads.fetch(f"{site.address}/a", str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert site.asked["/a"] == requests


def test_redirects_are_followed(tmp_path, site):
    site.answers |= {"/a": redirect("/b?x=1"), "/b": body(CONTENT)}
    downloads.fetch(f"{site.address}/a", str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "said", "requests"),
    [
        (status(404), r"the server answers 404 Not Found; check the address", 1),
        (status(403), "the server answers 403 Forbidden", 1),
        (status(299), "the server answers 299;", 1),
        (status(500), r"answers 500 Internal Server Error \(tried 3 times\); check", 3),
        (status(429), "answers 429 Too Many Requests", 3),
        (cut_short(b"half"), "the answer was cut short", 3),
        (chunked(b"half", whole=False), "the answer was cut short", 3),
        (redirect("/a"), "the server redirects in a circle", 31),
        (redirect("file:///etc/passwd"), "this is no address that can be fetched", 1),
        (body(b"", {"Content-Length": str(40 << 30)}), "more than 32 GB", 1),
    ],
    ids=[
        "404",
        "403",
        "a status of no name",
        "always 500",
        "always 429",
        "always cut",
        "always cut in chunks",
        "circle",
        "to a local file",
        "too large",
    ],
)
def test_why_it_cannot_be_fetched(tmp_path, site, answer, said, requests):
    site.answers["/a"] = answer
    with pytest.raises(RuntimeError, match=said) as caught:
        downloads.fetch(f"{site.address}/a?token=secret", str(tmp_path / "a"))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert site.asked.total() == requests


def test_a_server_that_stalls_ends_in_an_error(tmp_path, site):
    site.fallback = site.stalled
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"sent nothing for 0\.3 seconds \(tried 3 times\)"):
        downloads.fetch(f"{site.address}/a", str(tmp_path / "a"))
    assert time.monotonic() - began < 3


def test_a_server_that_is_dead_ends_in_an_error(tmp_path):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}/a"
        with pytest.raises(RuntimeError, match=r"no connection \(Connection refused\)") as caught:
            downloads.fetch(address, str(tmp_path / "a"))
    assert "secret" not in str(caught.value)


def test_the_delays_of_a_dead_server_are_short(monkeypatch):
    monkeypatch.undo()
    pauses = sum(downloads.PAUSE_SECONDS * 2**n for n in range(downloads.TRIES - 1))
    assert downloads.TRIES * downloads.CONNECT_SECONDS + pauses < 20


@pytest.mark.parametrize("address", ["https://", "http://[x/", "https://.a/", "http://a:b/c"])
def test_what_is_no_address(tmp_path, address):
    with pytest.raises(RuntimeError, match="cannot be fetched"):
        downloads.fetch(address, str(tmp_path / "a"))


def test_a_proxy_of_the_environment_is_used(tmp_path, site, monkeypatch):
    monkeypatch.setenv("http_proxy", site.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    site.fallback = body(CONTENT)
    downloads.fetch("http://models.example/a", str(tmp_path / "a"))
    assert site.asked["http://models.example/a"] == 1


def test_long_downloads_say_how_far_they_are(tmp_path, site, monkeypatch):
    monkeypatch.setattr(downloads, "PROGRESS_SECONDS", 0.0)
    site.answers["/a"] = body(bytes(3_000_000))
    said: list[str] = []
    downloads.fetch(f"{site.address}/a", str(tmp_path / "a"), said.append)
    assert said[-1] == "3 of 3 MB are there"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://a.example/b/2", "https://a.example/b/2"),
        ("https://me:key@a.example:8/b", "https://a.example:8/b"),
        ("https://a.example/b?sig=key&x", "https://a.example/b?sig=…&…"),
        (
            "https://a.example/b?tf-hub-format=compressed#t=key",
            "https://a.example/b?tf-hub-format=compressed",
        ),
    ],
    ids=["plain", "user", "query", "fragment"],
)
def test_what_is_shown_of_an_address(address, shown):
    assert downloads.without_secrets(address) == shown
