"""What the stages hold is bounded in bytes, however large bundles and texts are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput

from corpusvec.transforms import encode
from corpusvec.transforms.batch import _BatchFn
from corpusvec.transforms.columns import Documents, Encoded, Windows, gathered
from corpusvec.transforms.documents.inputs import InputFile
from corpusvec.transforms.elements import Document
from corpusvec.transforms.gather import _GatherFn
from corpusvec.transforms.models.probes import id_windows
from corpusvec.transforms.read import _ReadFn
from corpusvec.transforms.specs import VectorPlan, Wanted
from corpusvec.transforms.tokenize import _TokenizeFn
from corpusvec.transforms.tokens.windows import WindowPlan
from tests.elements import together, window

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
        inside -= sum(map(contents, process(element)))
    inside -= sum(map(contents, stage.finish_bundle()))
    assert inside == 0
    return most


def untold(output) -> int:
    """How many documents come out; counts come beside them, with a tag."""
    return 0 if isinstance(output, TaggedOutput) else len(output.value)


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_few_large_documents_are_in_one_batch(document):
    stage, documents = _GatherFn(), (document(n) for n in range(50))

    def process(one):
        return stage.process(one, 0, beam.window.GlobalWindow())

    assert most_held(stage, documents, process, untold) <= 2


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_few_large_documents_are_read_before_any_is_looked_at(document, monkeypatch):
    read = [0]

    def rows():
        for n in range(50):
            read[0] = n + 1
            yield attrgetter(*Document.__dataclass_fields__)(document(n))

    def records(file, dates):
        return gathered(rows())

    file = InputFile("a.txt", "a.txt", 0)
    stage = _ReadFn(lambda groups: [file], records, lambda text, source: False, None)
    out = 0
    for batch in stage.process([0]):
        if isinstance(batch, TaggedOutput):
            continue
        out += len(batch)
        assert read[0] - out <= 1
        assert len(batch) <= 2
    assert out == 50


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_few_large_documents_wait_to_be_tokenized(document):
    stage = _TokenizeFn(None, WindowPlan(max_seq_length=None, spans=False), None)
    stage.setup()
    documents = (Documents.of([document(n)]) for n in range(50))
    assert most_held(stage, documents, stage.process, untold) <= 3


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE)
def test_few_large_documents_wait_for_their_batch_however_little_is_read_of_them(document):
    stage = _BatchFn(1024, padding=True, longest=512)
    windows = (together([window([0] * 64, document=document(n))]) for n in range(500))
    assert most_held(stage, windows, stage.process, untold) <= 40


def cut_documents(count: int, chance: np.random.Generator) -> Iterator[Windows]:
    """Each of a full window and a shorter one."""
    for n in range(count):
        document = Document(str(n), "")
        lengths = enumerate((512, int(chance.integers(8, 512))))
        parts = [
            window([0] * length, index=index, count=2, document=document)
            for index, length in lengths
        ]
        yield together(parts)


@pytest.mark.parametrize("layers", [1, 4, 13])
def test_token_vectors_that_wait_for_the_rest_of_their_document(layers):
    """Their bytes are bounded by those of two buffers, and batches are hardly smaller for it."""
    kept = 4 * 768 * layers
    stage = _BatchFn(1024, padding=True, longest=512, kept=kept)
    stage.start_bundle()
    waiting: dict[str, int] = {}
    most = real = padded = 0

    def encode(batches) -> None:
        nonlocal most, real, padded
        for batch in (out.value for out in batches):
            sizes = batch.sizes
            real += int(sizes.sum())
            padded += len(batch) * int(sizes.max())
            for owner, size in zip(batch.owners.tolist(), sizes.tolist()):
                name = batch.documents.ids[owner]
                if name in waiting:
                    del waiting[name]
                else:
                    waiting[name] = size
            most = max(most, kept * sum(waiting.values()))

    for one in cut_documents(1000, np.random.default_rng(1)):
        encode(stage.process(one))
    encode(stage.finish_bundle())
    assert not waiting
    assert most <= 256 << 20
    assert padded <= 1.15 * real


def test_few_batches_are_encoded_before_their_results_are_taken(monkeypatch):
    """However many there are, and however fast the model is."""

    class Echo:
        streams = 2

        def encode(self, windows):
            return Encoded(windows, {}, {})

    monkeypatch.setattr(encode, "load_encoder", lambda model, wanted: Echo())
    model = SimpleNamespace(longest_padded=None, tokenizer=True)
    stage = encode._EncodeFn(model, Wanted(()), VectorPlan(()), None)  # type: ignore[arg-type]
    stage.setup()

    def batches(out) -> int:
        return 0 if isinstance(out, TaggedOutput) else len(out.value.windows)

    many = (id_windows([0] * 8) for _ in range(200))
    # Each is of a buffer of its own, so that one waits to be given out with others of its buffer.
    assert most_held(stage, many, stage.process, batches) <= 2 * Echo.streams + 3
