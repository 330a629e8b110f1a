"""Batches are as large as a device's memory allows: by what is known of it, and by what was too
much.
"""

from __future__ import annotations

import numpy as np
import pytest

from corpusvec.transforms.columns import Encoded
from corpusvec.transforms.models import isolation
from corpusvec.transforms.models.capacities import MOST, USUAL, Capacity, tokens_for
from corpusvec.transforms.models.hardware import tf
from corpusvec.transforms.models.isolation import encode_each
from corpusvec.transforms.models.kinds import describe_model
from corpusvec.transforms.models.probes import id_windows
from tests.models import hugging_face_folder

pytestmark = pytest.mark.usefixtures("program")


class Small:
    """A device that has room for so many tokens, padding included."""

    streams = 1

    def __init__(self, room):
        self.room, self.tried = room, []

    def encode(self, windows):
        size = len(windows) * int(windows.sizes.max())
        self.tried.append(size)
        if size > self.room:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return Encoded(windows, {0: np.ones((*(len(windows), 4), 2), np.float32)}, {})


@pytest.fixture
def machine(monkeypatch):
    machine = Capacity()
    monkeypatch.setattr(isolation, "THIS_PROCESS", machine)
    return machine


def test_a_batch_without_room_is_halved_and_so_are_the_next_without_a_try(machine, capsys):
    machine.want(64)
    encoder, batch = Small(16), id_windows(*[[1, 2, 3, 4]] * 16)
    for calls in ([64, 32, 16, 16, 16, 16], [16, 16, 16, 16]):
        encoder.tried = []
        found = encode_each(encoder, batch)
        assert sum(map(len, found)) == 16
        assert not any(one.failures for one in found)
        assert encoder.tried == calls
    said = capsys.readouterr().err
    assert said.count("note: 64 tokens at once are more than the memory of the device holds") == 1
    assert said.count("note:") == 1
    assert machine.tokens == 16  # and so large are the batches that are cut from now on


def test_a_window_alone_without_room_is_a_failure_of_its_document(machine):
    (short, long) = encode_each(Small(6), id_windows([1], [1] * 8))
    assert not short.failures
    assert "OOM when allocating" in long.failures[0].error
    assert machine.tokens == 0  # a CPU has batches as they come


def test_a_larger_memory_is_given_larger_batches(tmp_path):
    config = describe_model(str(hugging_face_folder(tmp_path / "m", hidden=768, heads=12)))
    assert config.transformer
    sizes = [tokens_for(config.transformer, 512, 4, gib << 30) for gib in (1, 8, 24, 80)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]
    assert sizes[-1] == MOST
    assert all(size & (size - 1) == 0 for size in sizes)
    assert tokens_for(config.transformer, 512, 2, 8 << 30) > sizes[1]
    assert tokens_for(config.transformer, 512, 4, 0) == USUAL
