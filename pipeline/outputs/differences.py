"""What changed between two snapshots of an output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpusvec.pipeline.flags.parsing import command
from corpusvec.transforms.snapshots.changes import (
    ADDED,
    CHANGED,
    MOVED,
    REMOVED,
    changes_table,
    compare,
)
from corpusvec.transforms.snapshots.commits import Snapshot
from corpusvec.transforms.snapshots.earlier_rows import Damaged, Earlier, sentence_rows
from corpusvec.transforms.snapshots.manifests import files_of
from corpusvec.transforms.snapshots.outputs import Output
from corpusvec.transforms.snapshots.recipes import differences
from corpusvec.transforms.snapshots.schemas import SENTENCES
from corpusvec.transforms.storage.digests import Rows, joined

_FIRST = 5


@dataclass(frozen=True, slots=True)
class Changes:
    """From `old` to `new`: how many documents of each kind there are, and all of them, as id,
    change and old id. Changed is one whose text, or what the model reads of it, is another.
    `settings` are those that differ.
    """

    old: str
    new: str
    settings: Sequence[str]
    counts: Mapping[str, int]
    changes: Sequence[tuple[str, str, str | None]]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = [{"id": id_, "change": kind, "old_id": old} for id_, kind, old in self.changes]
        return {
            "old": self.old,
            "new": self.new,
            "settings": list(self.settings),
            "counts": dict(self.counts),
            "changes": rows,
        }


def changes_between(output: Output, old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """Of two manifests. Raises `RuntimeError` where a file is damaged."""
    before, after = _rows(output, old), _rows(output, new)
    settings = differences(old.get("run") or {}, new.get("run") or {})
    found = compare(before, after, alike=not settings)
    table = changes_table(found.changed.ids, found.added, found.removed)
    changes = list(zip(*(column.to_pylist() for column in table.columns)))
    counts = dict.fromkeys((ADDED, CHANGED, REMOVED, MOVED), 0)
    for _, kind, _ in changes:
        counts[kind] += 1
    counts["unchanged"] = len(after.ids) - counts[ADDED] - counts[CHANGED] - counts[MOVED]
    return Changes(old["id"], new["id"], settings, counts, changes)


def _rows(output: Output, manifest: Mapping[str, Any]) -> Rows:
    earlier = Earlier(Snapshot(output, manifest["id"]).folder, files_of(manifest))
    if manifest["format_version"] < 2:
        raise RuntimeError(
            f"{manifest['id']}: was made by an earlier version of corpusvec, which did not write"
            " down what the model reads of a text; it cannot be compared"
        )
    try:
        return joined(sentence_rows(file) for file in earlier.of(SENTENCES))
    except Damaged as error:
        verify = command("verify", output.folder, manifest["id"])
        raise RuntimeError(f"{error}; to see what else is damaged, run: {verify}") from error


def lines(found: Changes) -> Iterator[str]:
    """As text: counts, settings, and the first few of each kind."""
    yield f"from {found.old} to {found.new}"
    yield ", ".join(f"{number:,} {kind}" for kind, number in found.counts.items())
    if found.settings:
        yield (
            f"settings differ: {', '.join(found.settings)}; the vectors of all documents are others"
        )
    for kind in (ADDED, CHANGED, REMOVED, MOVED):
        of_kind = [change for change in found.changes if change[1] == kind]
        for id_, _, old in of_kind[:_FIRST]:
            yield f"{kind}: {f'{old} -> {id_}' if old is not None else id_}"
        if len(of_kind) > _FIRST:
            yield f"{kind}: … {len(of_kind) - _FIRST:,} more (--json has all)"
