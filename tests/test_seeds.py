"""A run of the tests can be repeated."""

from __future__ import annotations

from hypothesis import core


def test_examples_are_drawn_by_the_seed_that_the_header_shows(pytestconfig):
    (line,) = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=None)[:1]
    assert f"--hypothesis-seed={core.global_force_seed} " in str(line)
