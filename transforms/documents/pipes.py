"""What is piped into the program: kept in a file, since a run reads its input more than once."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from functools import cache

from corpusvec.transforms.documents.inputs import InputFile

PIPE = "-"  # as a pattern of --input


@cache
def piped(input_format: str) -> InputFile:
    """Standard input as a file, which goes at the end of the program. `auto` takes it for JSON
    Lines where it begins with a brace, else for text.

    Raises: ValueError where nothing is piped in.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("--input=-: nothing is piped in; pipe text or JSON Lines, or name a file")
    number, path = tempfile.mkstemp(prefix="corpusvec-stdin-")
    atexit.register(os.remove, path)
    with os.fdopen(number, "w+b") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    name = "stdin"
    if input_format == "auto":
        name += ".jsonl" if start.startswith(b"{") else ".txt"
    return InputFile(name, name, os.path.getsize(path), absolute=path)
