"""`export-model`: a transformer, or a text file of word vectors, becomes a TF2 SavedModel."""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from corpusvec.pipeline.settings import Recipe, Settings
from corpusvec.transforms.models.kinds import check_whole
from corpusvec.transforms.models.sources.archives import SUFFIXES, pack
from corpusvec.transforms.models.sources.handles import local_model
from corpusvec.transforms.models.transformers import checkpoints
from corpusvec.transforms.specs import Asked

_BERTS = (
    "a transformer that corpusvec runs itself (a TensorFlow 1 checkpoint or a Hugging Face folder),"
    " or a text file of word vectors"
)


def run(flags: argparse.Namespace) -> list[str]:
    """What the command says; its source may be named by a handle."""
    asked = vars(flags)
    names = ("target", "strings", "archive", "vectors", "normalize", "oov_buckets")
    settings = {name: asked[name] for name in (*names, "tokenizer", "do_lower_case")}
    source = local_model(flags.source, flags.model_cache, flags.refresh_model, check_whole)
    return export_model(source, **settings)


def export_model(
    source: str,
    target: str,
    *,
    strings: bool = False,
    archive: bool = False,
    vectors: str | None = None,
    normalize: bool = False,
    tokenizer: str = "",
    do_lower_case: str = "auto",
    oov_buckets: int = 1,
    model_cache: str | None = None,
    refresh_model: bool = False,
) -> list[str]:
    """Write the model, whole or not at all -> what to tell the user.

    Raises `ValueError` where the flags, the source or the target are wrong, `RuntimeError` where
    the disk fails or tensorflow-text is missing.
    """
    targets = _Targets.of(target, archive)
    targets.check()
    settings = Settings(
        model=source,
        vectors=vectors,
        normalize=normalize,
        tokenizer=tokenizer,
        do_lower_case=do_lower_case,
        model_cache=model_cache,
        refresh_model=refresh_model,
    )
    if _is_word_vectors(source):
        _check_word_vectors(settings, strings, oov_buckets)
        return targets.fill(_lookup(Path(source), oov_buckets))
    _check_bert(settings, strings, oov_buckets)
    recipe = _resolved(settings)
    return targets.fill(_strings(recipe) if strings else _bert(recipe))


def _check_word_vectors(settings: Settings, strings: bool, oov_buckets: int) -> None:
    for flag, given in (
        ("strings", strings),
        ("vectors", settings.vectors is not None),
        ("normalize", settings.normalize),
        ("tokenizer", settings.tokenizer),
        ("do_lower_case", settings.do_lower_case != "auto"),
    ):
        if given:
            raise ValueError(f"--{flag}: {settings.model} holds word vectors; omit the flag")
    if oov_buckets < 1:
        raise ValueError(
            f"--oov_buckets={oov_buckets}: words that are not there need a row; use 1 or more"
        )


def _check_bert(settings: Settings, strings: bool, oov_buckets: int) -> None:
    if oov_buckets != 1:
        raise ValueError(
            f"--oov_buckets={oov_buckets}: is for a text file of word vectors; omit the flag"
        )
    if not strings and (settings.vectors is not None or settings.normalize):
        flag = "vectors" if settings.vectors is not None else "normalize"
        raise ValueError(
            f"--{flag}: a model with the BERT contract returns layers, not sentence vectors; add"
            " --strings, or omit the flag"
        )


def _is_word_vectors(source: str) -> bool:
    """Any file but an archive of a model, or a part of a checkpoint."""
    is_file = Path(source).is_file() and not source.endswith(SUFFIXES)
    return is_file and not checkpoints.recognises(source, Asked())


def _resolved(settings: Settings) -> Recipe:
    try:
        recipe = settings.resolve()
    except ValueError as error:  # the models' own readers know one command
        raise ValueError(str(error).replace("--model=", "")) from error
    if recipe.spec.transformer is None:
        raise ValueError(f"{settings.model}: is none that can be exported; SOURCE is {_BERTS}")
    return recipe


def _bert(recipe: Recipe) -> Callable[[Path], list[str]]:
    spec = recipe.spec

    def write(folder: Path) -> list[str]:
        from corpusvec.transforms.models.exports.berts import save_bert

        save_bert(spec, folder)
        lines = [
            f"a TF2 SavedModel with the BERT contract: {spec.layer_count} layers of"
            f" {spec.hidden_size} dimensions, {spec.parameters:,} parameters"
        ]
        if not spec.has_pooler:
            lines.append("the model has no pooler: pooled_output and default are left out")
        return [*lines, *spec.notes]

    return write


def _strings(recipe: Recipe) -> Callable[[Path], list[str]]:
    spec, plan, columns = recipe.spec, recipe.windows, recipe.vectors.columns

    def write(folder: Path) -> list[str]:
        from corpusvec.transforms.models.exports.strings import StringPlan, save_strings

        length = plan.max_seq_length
        assert length is not None
        save_strings(
            spec, StringPlan(columns, length, plan.prompt, recipe.vectors.normalize), folder
        )
        names = ", ".join(column.name for column in columns)
        return [
            f"a TF2 SavedModel that takes strings; sentence vectors: default ({columns[0].name})"
            + (f", {names}" if len(columns) > 1 else ""),
            f"it reads the first {length} tokens of a text, special ones included; embed reads all,"
            " in windows",
            "it needs tensorflow-text; its tokens are those of embed, but for texts with U+0000 and"
            " letters that are new in Unicode 14 or later",
            *spec.notes,
        ]

    return write


def _lookup(source: Path, oov_buckets: int) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        from corpusvec.transforms.models.exports.word_vectors import save_lookup

        found = save_lookup(source, oov_buckets, folder)
        lines = [
            f"a TF2 SavedModel that looks tokens up: {found.words:,} words of {found.dimensions}"
            f" dimensions, {oov_buckets} row{'s' * (oov_buckets > 1)} of zeros for all others"
        ]
        if found.repeated:
            lines.append(f"{found.repeated} lines repeat a word; the first of each counts")
        return lines

    return write


@dataclass(frozen=True, slots=True)
class _Targets:
    """Where the model goes: a folder, an archive, or both."""

    folder: Path | None
    archive: Path | None

    @classmethod
    def of(cls, target: str, archive: bool) -> _Targets:
        if "://" in target:
            raise ValueError(f"{target}: models are written to local folders; copy it from there")
        if target.endswith(SUFFIXES):
            return cls(None, Path(target))
        folder = Path(target.rstrip("/") or target)
        return cls(folder, folder.with_name(f"{folder.name}{SUFFIXES[0]}") if archive else None)

    def check(self) -> None:
        """Raises `ValueError` where something is there already."""
        if self.folder and self.folder.exists():
            if not self.folder.is_dir():
                raise ValueError(f"{self.folder}: is a file; name a folder that is empty or new")
            if any(self.folder.iterdir()):
                raise ValueError(
                    f"{self.folder}: is not empty; name a folder that is, or a new one"
                )
        if self.archive and self.archive.exists():
            raise ValueError(f"{self.archive}: exists already; delete it, or name another")

    def fill(self, write: Callable[[Path], list[str]]) -> list[str]:
        """Write beside the targets, then move into place."""
        last = self.folder or self.archive
        assert last is not None
        try:
            last.absolute().parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                dir=last.absolute().parent, prefix=".export-"
            ) as place:
                folder, archive = Path(place, "model"), Path(place, "model.tar.gz")
                lines = write(folder)
                if self.archive:
                    pack(str(folder), str(archive))
                    lines.append(f"{self.archive}: {_about(archive)}")
                if self.folder:
                    lines[0] = f"{self.folder}: {lines[0]}"
                    os.rename(folder, self.folder)  # fails where something came to be there
                if self.archive:
                    os.rename(archive, self.archive)
                return lines
        except OSError as error:
            reason = error.strerror or str(error)
            where = f"{error.filename}: " if error.filename else ""
            raise RuntimeError(f"{last}: was not written ({where}{reason})") from error


def _about(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{file.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}"
