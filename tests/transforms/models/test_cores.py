"""How many cores a run may use."""

import os

import pytest

from corpusvec.transforms.models import cores


@pytest.mark.parametrize(
    ("own", "files", "quotas"),
    [
        ("0::/\n", {"cpu.max": "200000 100000"}, [2.0]),
        ("0::/\n", {"cpu.max": "max 100000"}, []),
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000", "a/cpu.max": "50000 100000"}, [1.5, 0.5]),
        ("0::/a\n", {}, []),
        (
            "3:memory:/x\n2:cpu,cpuacct:/x\n",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
                "memory/x/cpu.max": "1 1",
            },
            [3.0],
        ),
        (
            "2:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            [],
        ),
        ("0::/\n", {"cpu.max": "nonsense"}, []),
    ],
    ids=[
        "one",
        "no limit",
        "of two groups",
        "none",
        "version 1",
        "version 1, no limit",
        "nonsense",
    ],
)
def test_quotas_of_control_groups(own, files, quotas, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert list(cores._quotas(tmp_path, own)) == quotas


@pytest.mark.parametrize(("quotas", "expected"), [([1.5], 2), ([0.2], 1), ([], 64), ([3, 2], 2)])
def test_no_more_cores_than_a_quota_is_worth(quotas, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "_quotas", lambda: iter(quotas))
    assert cores.available() == expected
