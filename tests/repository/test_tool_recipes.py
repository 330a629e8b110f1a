"""docs/recipes.md: what it shows for other tools runs as it stands there, where the tool is."""

from __future__ import annotations

import re

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.repository.test_docs import trial  # noqa: F401 - a fixture

PAGE = (ROOT / "docs" / "recipes.md").read_text("utf-8")
RECIPES = {
    section.partition("\n")[0]: section.partition("```python\n")[2].partition("```")[0]
    for section in PAGE.split("\n## ")[1:]
    if "```python" in section
}
# What is printed, among other things: the first document is the nearest to itself.
PRINTED = {
    "pandas": r"neighbours above 0\.5",
    "Polars": r"n_tokens",
    "DuckDB with an index": r"distance",
    "DuckDB to Lance": r"_distance",
    "LanceDB": r"'_distance': (-?0\.0|-?\d(\.\d+)?e-\d+)",
    "FAISS": r"1\.000 ",
    "Embedding Atlas": "",
}


def test_every_tool_has_its_recipe():
    assert set(RECIPES) == set(PRINTED)


@pytest.mark.parametrize("tool", RECIPES)
@pytest.mark.filterwarnings("ignore")  # of other programs, about themselves
def test_a_recipe_runs(tool, trial, capsys):  # noqa: F811
    for module in re.findall(r"^import (\w+)", RECIPES[tool], re.M):
        pytest.importorskip(module)
    try:
        exec(compile(RECIPES[tool], tool, "exec"), {})
    except Exception as error:
        if "Failed to download extension" in str(error):
            pytest.skip(str(error).splitlines()[0])
        raise
    assert re.search(PRINTED[tool], capsys.readouterr().out)
    if tool == "Embedding Atlas":
        neighbours = pq.read_table("atlas.parquet")["neighbors"].to_pylist()
        assert [one["ids"][0] for one in neighbours] == list(range(len(neighbours)))
        assert all(sorted(one["distances"]) == one["distances"] for one in neighbours)
