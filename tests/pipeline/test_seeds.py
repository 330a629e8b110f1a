"""A run of the tests can be repeated."""

from __future__ import annotations

from hypothesis import core

from tests import conftest


def test_examples_are_drawn_by_the_seed_that_the_header_shows(pytestconfig):
    shown = conftest.pytest_report_header(pytestconfig)
    assert f"--hypothesis-seed={core.global_force_seed} " in shown
