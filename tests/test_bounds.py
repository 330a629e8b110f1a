"""What the stages hold is bounded in bytes, however large bundles and texts are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput

from corpusvec.transforms import encode
from corpusvec.transforms.batch import _BatchFn
from corpusvec.transforms.elements import Document, Encoded, Window
from corpusvec.transforms.measures.beam_times import OF_THE_RUN, Stamp
from corpusvec.transforms.reuse import _FindFn
from corpusvec.transforms.tokenize import _TokenizeFn
from corpusvec.transforms.tokens.windows import WindowPlan
from corpusvec.transforms.vectors.documents import Gathering
from tests.elements import window

MB = 1_000_000
LARGE = {
    "text": lambda n: Document(f"{n}", f"{n}" + "x" * MB),
    "pair": lambda n: Document(f"{n}", f"{n}", pair="x" * MB),
    "metadata": lambda n: Document(f"{n}", f"{n}", metadata={"notes": "x" * MB}),
}


def most_held(stage, elements: Iterable, process, contents) -> int:
    """The most documents that were inside at once; all came out at the end."""
    stage.start_bundle()
    inside = most = 0
    for element in elements:
        inside += 1
        most = max(most, inside)
        inside -= sum(len(contents(out)) for out in process(element))
    inside -= sum(len(contents(out)) for out in stage.finish_bundle())
    assert inside == 0
    return most


def windows_of(output) -> list:
    return [] if isinstance(output, TaggedOutput) else [output.value]


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_the_tokenizer_is_given_few_large_documents_at_once(document):
    stage = _TokenizeFn(None, WindowPlan(max_seq_length=None, spans=False), None)
    stage.setup()

    def process(one):
        return stage.process(one, 0, beam.window.GlobalWindow())

    documents = (document(n) for n in range(50))
    assert most_held(stage, documents, process, windows_of) <= 2


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_few_large_documents_wait_to_be_looked_up(document):
    stage = _FindFn([], tokens=False, spare=())
    documents = (document(n) for n in range(50))
    # Beside them come counts, with a tag.
    untold = beam.pvalue.TaggedOutput
    most = most_held(
        stage, documents, stage.process, lambda out: [] if isinstance(out, untold) else [out.value]
    )
    assert most <= 5


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_few_large_documents_wait_for_their_batch_however_little_is_read_of_them(document):
    stage = _BatchFn(1024, padding=True, longest=512)
    windows = (window([0] * 64, document=document(n), stamp=OF_THE_RUN) for n in range(500))
    most = most_held(stage, windows, stage.process, lambda out: out.value)
    assert most <= 40


def cut_documents(count: int, chance: np.random.Generator) -> Iterator[Window]:
    """Each of a full window and a shorter one."""
    for n in range(count):
        for index, length in enumerate((512, int(chance.integers(8, 512)))):
            stamp = Stamp(0, None, (0, n))
            yield window([0] * length, index=index, count=2, stamp=stamp)


@pytest.mark.parametrize("layers", [1, 4, 13])
def test_token_vectors_that_wait_for_the_rest_of_their_document(layers):
    """Their bytes are bounded by those of two buffers, and batches are hardly smaller for it."""
    kept = 4 * 768 * layers
    stage, gathering = _BatchFn(1024, padding=True, longest=512, kept=kept), Gathering()
    stage.start_bundle()
    waiting: dict[tuple, int] = {}
    most = real = padded = 0

    def encode(batches) -> None:
        nonlocal most, real, padded
        for batch in (out.value for out in batches):
            real += sum(one.size for one in batch)
            padded += len(batch) * max(one.size for one in batch)
            for one in batch:
                waiting[one.stamp.key] = waiting.get(one.stamp.key, 0) + one.size
                if gathering.add(one.stamp.key, one.count, one) is not None:
                    del waiting[one.stamp.key]
            most = max(most, kept * sum(waiting.values()))

    for one in cut_documents(1000, np.random.default_rng(1)):
        encode(stage.process(one))
    encode(stage.finish_bundle())
    gathering.check_empty()
    assert most <= 256 << 20
    assert padded <= 1.15 * real


def test_few_batches_are_encoded_before_their_results_are_taken(monkeypatch):
    """However many there are, and however fast the model is."""

    class Echo:
        streams = 2

        def encode(self, windows):
            return [Encoded(one, {}, {}) for one in windows]

    monkeypatch.setattr(encode, "load_encoder", lambda model, wanted: Echo())
    monkeypatch.setattr(encode, "tokens_at_once", lambda: 0)
    model = SimpleNamespace(padding=True, longest_padded=None, tokenizer=True)
    stage = encode._EncodeFn(model, None, None)  # type: ignore[arg-type]
    stage.setup()
    batches = ([window([0] * 8, stamp=OF_THE_RUN)] for _ in range(200))

    def windows(out) -> list:  # counts come out beside them
        return [] if isinstance(out, beam.pvalue.TaggedOutput) else [out.value]

    assert most_held(stage, batches, stage.process, windows) <= 2 * Echo.streams + 2
