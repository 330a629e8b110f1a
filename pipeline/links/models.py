"""The model of a snapshot, loaded again: for passages, and for questions."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corpusvec.pipeline.card_prompts import query_prompt
from corpusvec.pipeline.comparisons.settings import settings_of
from corpusvec.pipeline.embedders import LoadedModel
from corpusvec.pipeline.flags.compare_models import SETTINGS
from corpusvec.transforms.elements import Document, SentenceVector
from corpusvec.transforms.models.kinds import weights_digest
from corpusvec.transforms.specs import ModelSpec


class PassageModel:
    """Embeds texts as those of a snapshot were, or as questions to them."""

    def __init__(self, manifest: Mapping[str, Any], column: str, model: str | None = None):
        self._manifest, self._column, self._model = manifest, column, model
        self._loaded: dict[bool, LoadedModel] = {}

    def embed(self, texts: Sequence[str], questions: bool = False) -> np.ndarray:
        """[N, D] float32, of length 1; zeros for a text without a vector."""
        model = self._of(questions)
        rows = model.embed([Document(str(at), text) for at, text in enumerate(texts)])
        made = {
            at: row.vectors[self._column]
            for at, row in enumerate(rows)
            if isinstance(row, SentenceVector)
        }
        width = len(next(iter(made.values()))) if made else 1
        found = np.zeros((len(texts), width), np.float32)
        for at, vector in made.items():
            found[at] = vector / max(np.linalg.norm(vector.astype(np.float64)), 1e-12)
        return found

    def load(self, questions: bool = False) -> None:
        """Load it now rather than with the first text."""
        self._of(questions)

    def _of(self, questions: bool) -> LoadedModel:
        if questions not in self._loaded:
            flags = argparse.Namespace(model=self._model, **dict.fromkeys(SETTINGS))
            recipe = settings_of(self._manifest, flags).recipe
            self._check_same(recipe.spec)
            if questions:
                name = self._model or self._manifest["configuration"]["model"]
                prompt = query_prompt(name, recipe.spec)
                if prompt is not None and prompt != recipe.windows.prompt:
                    flags.prompt = prompt
                    recipe = settings_of(self._manifest, flags).recipe
                elif False in self._loaded:
                    self._loaded[True] = self._loaded[False]
                    return self._loaded[True]
            self._loaded[questions] = LoadedModel(recipe.in_float32())
        return self._loaded[questions]

    def _check_same(self, spec: ModelSpec) -> None:
        """Raises `ValueError` for a model with other weights than the snapshot's: vectors of two
        models have nothing to do with each other. The first versions did not note the weights.
        """
        known = self._manifest.get("weights_digest")
        if known is None or spec.digest == self._manifest["run"]["model"]["digest"]:
            return
        if weights_digest(spec) != known:
            name = self._model or self._manifest["configuration"]["model"]
            raise ValueError(
                f"--model={name}: is not the model that {self._manifest['id']} was made with; give"
                " the place of that one, or embed the corpus again"
            )
