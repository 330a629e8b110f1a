"""`Embed` in a user's own pipeline: what it takes, what it gives, and where results are in time."""

from __future__ import annotations

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from corpusvec import Document, Embed
from tests.models import TEXTS


def test_strings_pairs_of_id_and_text_and_documents(tiny):
    inputs = [TEXTS[0], ("mine", TEXTS[0]), Document("pair", TEXTS[0], TEXTS[1]), "  "]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        embedded = (
            pipeline | beam.Create(inputs) | Embed(model=tiny, vectors="mean@-1", layers="-1")
        )

        def check_sentences(sentences):
            by_id = {sentence.document.id: sentence for sentence in sentences}
            digest = next(id for id in by_id if id not in ("mine", "pair"))
            assert len(digest) == 64
            first, second = by_id[digest].vectors["mean@-1"], by_id["mine"].vectors["mean@-1"]
            np.testing.assert_allclose(first, second, atol=1e-6)
            assert by_id["pair"].n_tokens > by_id["mine"].n_tokens

        def check_tokens(tokens):
            by_id = {row.document.id: row for row in tokens}
            assert set(by_id["pair"].segments) == {0, 1}
            assert by_id["mine"].layers["layer@-1"].shape == (len(by_id["mine"].tokens), 16)

        assert_that(embedded.sentences, check_sentences, label="sentences")
        assert_that(embedded.tokens, check_tokens, label="tokens")
        assert_that(embedded.failures, lambda found: _equal(found, []), label="failures")
        assert_that(embedded.empty, lambda found: _equal(len(found), 1), label="empty")


def _equal(found, expected):
    assert found == expected


def test_a_text_that_cannot_be_utf_8_is_a_failure_and_its_neighbours_are_unharmed(tiny):
    # As a string of its own Beam does not carry such a text, inside of a Document it does.
    inputs = [("good", TEXTS[0]), Document("bad", "a\ud800b"), Document("worse", "a", "\udfff")]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        embedded = pipeline | beam.Create(inputs) | Embed(model=tiny)
        names = embedded.failures | beam.Map(lambda failure: (failure.document_id, failure.stage))
        assert_that(names, lambda found: _equal(sorted(dict(found)), ["bad", "worse"]))
        good = embedded.sentences | "Ids" >> beam.Map(lambda row: row.document.id)
        assert_that(good, lambda found: _equal(found, ["good"]), label="good")


def test_results_keep_windows_and_timestamps(tiny):
    stamped = [TimestampedValue((f"{n}", TEXTS[n % 5] * (1 + n % 4)), n * 10) for n in range(40)]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        embedded = (
            pipeline
            | beam.Create(stamped)
            | beam.WindowInto(FixedWindows(60))
            | Embed(model=tiny, layers="-1", max_seq_length=12)
        )
        for name in ("sentences", "tokens"):
            places = getattr(embedded, name) | f"Places{name}" >> beam.ParDo(_Place())
            assert_that(places, _check_places, label=name)


def _check_places(places):
    expected = [(str(n), n * 10, n * 10 // 60 * 60) for n in range(40)]
    assert sorted(places) == sorted(expected)


class _Place(beam.DoFn):
    def process(self, row, timestamp=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        yield row.document.id, int(timestamp), int(window.start)


def test_two_of_them_in_one_pipeline(tiny, tiny_japanese):
    with beam.Pipeline(FnApiRunner()) as pipeline:
        texts = pipeline | beam.Create(list(TEXTS))
        for name, model in (("a", tiny), ("b", tiny_japanese)):
            embedded = texts | name >> Embed(model=model)
            assert_that(
                embedded.sentences,
                lambda found: _equal(len(found), len(TEXTS)),
                label=f"all {name}",
            )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vectors": "mean@9"}, "--vectors=mean@9"),
        ({"long_text": "cut"}, "--long_text=cut"),
        ({"precision": "float8"}, "--precision=float8"),
        ({"model": "/nowhere"}, "--model=/nowhere"),
    ],
    ids=["layer", "choice", "precision", "model"],
)
def test_settings_are_checked_when_it_is_made(tiny, settings, message):
    with pytest.raises(ValueError, match=message):
        Embed(**({"model": tiny} | settings))


def test_an_unknown_setting_is_an_error(tiny):
    with pytest.raises(TypeError, match="poolign"):
        Embed(model=tiny, poolign="mean")


def test_what_is_no_text_is_an_error(tiny):
    with (
        pytest.raises(TypeError, match="a text is a string"),
        beam.Pipeline(FnApiRunner()) as pipeline,
    ):
        _ = pipeline | beam.Create([5]) | Embed(model=tiny)


def test_the_graph_pickles_and_stays_small(tiny):
    """What travels to the workers is a description, never the weights."""
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(["a"]) | Embed(model=tiny)
        assert len(pipeline.to_runner_api().SerializeToString()) < 100_000
