"""HTTP servers on the loopback interface, whose answers and failures a test chooses."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """What a server has: paths without queries -> answers. `asked` counts requests, by path with
    query; `gone` is set when the server stops.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.gone = threading.Event()
        self.address = ""
        self.fallback: Answer = status(404)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked[handler.path] += 1
        self.answers.get(urlsplit(handler.path).path, self.fallback)(handler)

    def stalled(self, handler: BaseHTTPRequestHandler) -> None:
        """Half an answer, then nothing more while the server lives."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.wfile.flush()
        self.gone.wait()


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site at `site.address`, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that was killed
                site.answer(self)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield site
        finally:
            site.gone.set()
            server.shutdown()
            thread.join()


def body(content: bytes, headers: Mapping[str, str] | None = None, code: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    return answer


def status(code: int, headers: Mapping[str, str] | None = None) -> Answer:
    return body(b"{}", headers, code)


def redirect(location: str) -> Answer:
    return status(302, {"Location": location})


def cut_short(content: bytes) -> Answer:
    """Says that there is more than comes."""
    return body(content, {"Content-Length": str(len(content) + 100)})


def chunked(content: bytes, whole: bool = True) -> Answer:
    """Without a length; not whole, the last chunk is missing."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def one_after_another(*answers: Answer) -> Answer:
    """The first request gets the first answer; the last answers all that follow."""
    left = list(answers)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return answer


def hugging_face_hub(site: Site, name: str, folder: Path, revision: str = "main") -> None:
    """Let a site speak as much of the Hugging Face Hub's interface as fetching a model needs."""
    commit = hashlib.sha1(name.encode()).hexdigest()
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    about = {"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]}
    tree = [
        {"type": "file", "path": file, "size": len(content), "oid": _oid(content)}
        for file, content in files.items()
    ]
    as_json = {"Content-Type": "application/json"}
    site.answers[f"/api/models/{name}/revision/{revision}"] = body(
        json.dumps(about).encode(), as_json
    )
    for known in (revision, commit):
        site.answers[f"/api/models/{name}/tree/{known}"] = body(json.dumps(tree).encode(), as_json)
        for file, content in files.items():
            headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": commit}
            site.answers[f"/{name}/resolve/{known}/{file}"] = body(content, headers)


def _oid(content: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()
