"""The register of all that a run counts: each name is declared here once, and is the same in Beam's
counters, the manifest, the metrics file and on the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping

_register: dict[str, str] = {}


def _name(name: str, what: str = "") -> str:
    _register[name] = what
    return name


def check(name: str) -> str:
    """The name. Raises `ValueError` where it is not declared."""
    if name in _register or name.startswith(TAKEN):
        return name
    raise ValueError(f"{name!r}: is no count that is declared; see {__name__}")


# Counts of a manifest, in the order and the words of the metrics file.
RECORDS = _name("records", "Records read")
DOCUMENTS = _name("documents", "Documents in the snapshot")
EMBEDDED = _name("embedded", "Documents whose vectors were made by this run")
REUSED = _name("reused", "Documents whose vectors were copied from earlier snapshots")
REPEATED = _name("repeated", "Documents whose vectors were copied from an equal text of this run")
REJECTED = _name("rejected", "Records that could not be embedded")
EMPTY = _name("empty", "Records without a token of their own")
WINDOWS = _name("windows", "Windows of all documents")
TOKENS = _name("tokens", "Tokens of all documents")
UNKNOWN_TOKENS = _name("unknown_tokens", "Tokens that the vocabulary does not know")
DROPPED_TOKENS = _name("dropped_tokens", "Tokens cut off by --long_text=truncate")
BATCHES = _name("batches", "Calls of the model")
ENCODED_TOKENS = _name("encoded_tokens", "Tokens that the model was called with, without padding")
PADDED_TOKENS = _name("padded_tokens", "Tokens that the model was called with, padding included")
ENCODED_BYTES = _name("encoded_bytes", "Bytes of the strings that the model was called with")
MODELS = _name("models", "Loads of the model, one for each process that needed it")
DAMAGED_FILES = _name(
    "damaged_files", "Files of earlier snapshots that are not as they were written"
)
PAIR_SEPARATORS = _name("pair_separators", "Lines of text that look like pairs")
COUNTS: Mapping[str, str] = dict(_register)
FATES, MADE = (DOCUMENTS, REJECTED, EMPTY), (EMBEDDED, REUSED, REPEATED)  # of records, documents

# Milliseconds of each stage's own work.
STAGES = ("read", "find", "tokenize", "model_load", "encode", "pool", "write", "copy", "compare")
TIMES = tuple(_name(f"{stage}_ms") for stage in STAGES)
READ_MS, FIND_MS, TOKENIZE_MS, MODEL_LOAD_MS, ENCODE_MS, POOL_MS, WRITE_MS, COPY_MS, COMPARE_MS = (
    TIMES
)

# Of counts whose names begin so the report has the largest; all others are summed.
PEAK = "peak_"
PEAK_MEMORY = _name(f"{PEAK}memory_bytes")

# Of the manifest's making alone, which has these elsewhere.
UNREAD = _name("unread_before")  # files of the snapshot before that could not be compared
TAKEN = "taken_from_"  # and the id of a snapshot: documents that damaged files of later ones had

# Of the progress alone.
BYTES_READ = _name("bytes_read")
READ_TOKENS = _name("read_tokens")
COPIED_TOKENS = _name("copied_tokens")
