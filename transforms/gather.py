"""Document -> Documents."""

from __future__ import annotations

import apache_beam as beam

from corpusvec.transforms.columns import CHARACTERS, DOCUMENTS, Documents
from corpusvec.transforms.elements import Document
from corpusvec.transforms.measures.beam_times import Stamp, stamped


class GatherDocuments(beam.PTransform):
    """`PCollection[Document]` -> `PCollection[Documents]`, each with its time and its window: for
    documents that come one by one.
    """

    def expand(self, documents):
        return documents | beam.ParDo(_GatherFn())


class _GatherFn(beam.DoFn):
    def start_bundle(self):
        self._documents: list[Document] = []
        self._stamps: list[Stamp] = []
        self._characters = 0

    def process(
        self,
        document: Document,
        timestamp=beam.DoFn.TimestampParam,
        window=beam.DoFn.WindowParam,
    ):
        self._documents.append(document)
        self._stamps.append(Stamp(timestamp, window))
        self._characters += document.characters
        if len(self._documents) >= DOCUMENTS or self._characters >= CHARACTERS:
            yield self._batch()

    def finish_bundle(self):
        if self._documents:
            yield self._batch()

    def _batch(self):
        batch = Documents.of(self._documents, self._stamps)
        self.start_bundle()
        return stamped(batch, batch.stamps[0])
