"""Rows from all over a snapshot, and little of it read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusvec.pipeline.comparisons import samples
from corpusvec.pipeline.comparisons.samples import read_sample
from corpusvec.transforms.elements import WrittenFile

WIDTH = 4


def written(folder, sizes: list[list[int]]) -> list[WrittenFile]:
    """A file for each list, with row groups of so many rows; `id` is the row's number in all, and
    so are the numbers of its vector.
    """
    (folder / "sentences").mkdir()
    files, number = [], 0
    for which, groups in enumerate(sizes):
        path = f"sentences/{which:03}.parquet"
        writer = None
        for rows in groups:
            numbers = range(number, number + rows)
            flat = pa.array([float(n) for n in numbers for _ in range(WIDTH)], pa.float32())
            table = pa.table(
                {
                    "id": [str(n) for n in numbers],
                    "text": [f"text {n}" for n in numbers],
                    "pair": pa.array([None] * rows, pa.string()),
                    "model_text_sha256": pa.array([None] * rows, pa.string()),
                    "n_tokens": pa.array([2] * rows, pa.int32()),
                    "n_unknown": pa.array([1] * rows, pa.int32()),
                    "vector": pa.FixedSizeListArray.from_arrays(flat, WIDTH),
                }
            )
            writer = writer or pq.ParquetWriter(folder / path, table.schema)
            writer.write_table(table, row_group_size=rows)
            number += rows
        writer.close()
        files.append(WrittenFile("sentences", path, sum(groups), 1, "digest"))
    return files


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """The row groups that were read."""
    groups, original = [], pq.ParquetFile.read_row_group

    def counted(self, group, **how):
        groups.append(group)
        return original(self, group, **how)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    return groups


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([[100] * 100] * 3, 1000),
        ([[2000]], 1000),
        ([[1] * 40, [5000], [3] * 30], 300),
        ([[10] * 50] * 4, 1000),
        ([[7, 1, 3], [2]], 1000),
        ([[7, 1, 3], [2]], 1),
    ],
    ids=["large", "one group", "uneven", "small groups", "fewer than asked for", "one"],
)
def test_as_many_as_are_asked_for_evenly_from_everywhere(tmp_path, sizes, size):
    files = written(tmp_path, sizes)
    total = sum(map(sum, sizes))
    sample = read_sample(str(tmp_path), files, size, {"vector": None})
    numbers = [int(document.id) for document in sample.documents]
    assert len(set(numbers)) == len(numbers) == min(size, total)
    assert sample.rows == total
    assert sample.vectors["vector"].tolist() == [[float(n)] * WIDTH for n in numbers]
    assert (sample.n_tokens, sample.n_unknown) == (2 * len(numbers), len(numbers))
    for part in range(4):  # each quarter of the rows has its quarter of the sample
        own = sum(part * total <= 4 * n < (part + 1) * total for n in numbers)
        assert abs(own - len(numbers) / 4) <= max(2, 0.1 * len(numbers))
    again = read_sample(str(tmp_path), files, size, {"vector": None})
    assert again.documents == sample.documents


def test_few_row_groups_are_read_however_many_there_are(tmp_path, read):
    files = written(tmp_path, [[50] * 40] * 20)
    sample = read_sample(str(tmp_path), files, 200, {"vector": None})
    assert len(sample.documents) == 200
    assert len(read) == sample.groups == samples._PLACES


def test_more_are_read_only_where_they_are_small(tmp_path, read):
    files = written(tmp_path, [[4] * 100] * 5)
    assert len(read_sample(str(tmp_path), files, 400, {"vector": None}).documents) == 400
    assert samples._PLACES < len(read) <= 256


def test_a_file_that_is_not_as_the_manifest_says(tmp_path):
    (file,) = written(tmp_path, [[5]])
    other = WrittenFile(file.table, file.path, 6, file.bytes, file.digest)
    with pytest.raises(ValueError, match=r"000\.parquet: has 5 rows, the manifest says 6"):
        read_sample(str(tmp_path), [other], 10, {"vector": None})
