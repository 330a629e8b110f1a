"""The report as one HTML file that needs nothing else: no server, no network.

The data are compressed and base64, so no text of a note is markup, whatever it holds. The policy of
the page lets the browser run this one script and use this one style sheet, by their digests, and
load nothing.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "ja")
_SCRIPTS = ("tools.js", "links.js", "map.js", "corpus.js", "main.js")
_FOLDER = "page"
LARGEST = 20_000_000  # bytes of a file
_REST = 100_000  # of them are for markup, styles and scripts
_BLOCK = 200  # documents whose texts are packed together
_LONGEST = (4_000, 2_000, 1_000, 500, 200, 0)  # characters of a text, of the first that fit


def page(contents: Mapping[str, Any], language: str | None) -> str:
    """The file's text. Without a `language` the reader's browser chooses. Texts are cut where the
    file would be too large.
    """
    words = {name: json.loads(_part(f"words.{name}.json")) for name in LANGUAGES}
    css, js = _part("page.css"), "\n".join(map(_part, _SCRIPTS))
    values = {
        "lang": language or "mul",
        "policy": _policy(css, js),
        "title": html.escape(contents["name"]),
        "css": css,
        "js": js,
        "data": _fitting({**contents, "words": words}),
    }
    # At once: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], _part("page.html"))


def _fitting(contents: Mapping[str, Any]) -> str:
    """Texts in blocks of their own, so that a browser unpacks those that are read."""
    documents = dict(contents["documents"])
    texts = documents.pop("text")
    core = _block("data", {**contents, "documents": documents, "block": _BLOCK})
    for longest in _LONGEST:
        blocks = [
            _block(f"texts-{start // _BLOCK}", [t[:longest] for t in texts[start : start + _BLOCK]])
            for start in range(0, len(texts), _BLOCK)
        ]
        if len(core) + sum(map(len, blocks)) < LARGEST - _REST:
            break
    return "\n".join([core, *blocks])


def _block(name: str, value: Any) -> str:
    """As base64 of compressed JSON; the same bytes for the same value."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Half of a surrogate pair cannot be written, and is nothing to be shown.
    packed = base64.b64encode(gzip.compress(data.encode("utf-8", "replace"), 6, mtime=0)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>'


def _policy(css: str, js: str) -> str:
    return (
        f"default-src 'none'; script-src {_digest(js)}; style-src {_digest(css)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return files(__package__).joinpath(_FOLDER, name).read_text("utf-8")
