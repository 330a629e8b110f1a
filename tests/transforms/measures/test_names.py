"""Every count has one name, which is declared before anything can use it."""

from __future__ import annotations

import ast
import re

import pytest

from corpusvec.transforms.elements import Count
from corpusvec.transforms.measures import counters, names
from corpusvec.transforms.measures.clocks import Spent
from corpusvec.transforms.measures.stages import Timed
from corpusvec.transforms.snapshots.manifests import make_manifest
from tests.conftest import ROOT

IN_A_MANIFEST = (*names.COUNTS, *names.TIMES, names.PEAK_MEMORY)
USES = {"count", "Count", "Spent", "Timed"}


@pytest.mark.parametrize(
    "use",
    [
        counters.count,
        lambda name: counters.Tally().count(name),
        Spent,
        lambda name: Timed(name, lambda element: iter(())),
        lambda name: make_manifest("a", [Count(name, 1)], {}),
    ],
    ids=["a counter", "a tally", "a clock", "a timed stage", "a report"],
)
def test_a_name_that_is_not_declared_cannot_be_used(use):
    with pytest.raises(ValueError, match="'tokns': is no count that is declared"):
        use("tokns")


def test_documents_of_damaged_files_are_counted_by_snapshot():
    assert names.check(f"{names.TAKEN}20260102T030405.678Z-0a1b2c3d")


@pytest.mark.parametrize("name", IN_A_MANIFEST)
def test_the_page_of_the_output_explains_each_count(name):
    page = (ROOT / "docs" / "output.md").read_text("utf-8")
    table = page.partition("## Manifest")[2].partition("\n\nThe manifest also")[0]
    assert f"`{name}`" in re.sub(r"\|[^|]*\|$", "", table, flags=re.M)


def test_no_stage_names_a_count_by_itself():
    """As a string: where it is misspelled or changed only a run would tell."""
    found = []
    for path in (ROOT / "transforms").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and call.args:
                what = getattr(call.func, "attr", getattr(call.func, "id", ""))
                value = getattr(call.args[0], "value", None)
                if what in USES and value in IN_A_MANIFEST:
                    found.append(f"{path}:{call.lineno}: {value}")
    assert not found
