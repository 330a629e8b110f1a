"""The forms of `related` that other programs take, as files: Scrapbox's, and those of TensorBoard's
projector.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.reports import files, scrapbox_pages

if TYPE_CHECKING:
    from corpusvec.pipeline.links.pages import Pages
    from corpusvec.transforms.links.suggestions import Suggestion

    _ByProject = Mapping[str, Sequence[Suggestion]]

_WHAT = {".json": "to be given to Scrapbox", ".txt": "the same, to be pasted"}
_TENSORS, _LABELS, _CONFIG = "tensors.tsv", "metadata.tsv", "projector_config.pbtxt"


def as_scrapbox(
    pages: Pages, suggestions: Sequence[Suggestion], file: str | None, public: Collection[str] = ()
) -> Iterator[str]:
    """The lines to print: an import itself without a `file`, else which files were written. Of the
    projects that are not `public` each has its own alone.
    """
    return _exchanged("scrapbox", _scrapbox, pages, suggestions, file, public)


def as_userscript(
    pages: Pages, suggestions: Sequence[Suggestion], file: str | None, public: Collection[str] = ()
) -> Iterator[str]:
    """As `as_scrapbox`: what is related to each page, for the script that shows it there."""
    return _exchanged("userscript", _userscript, pages, suggestions, file, public)


def _exchanged(
    form: str,
    made: Callable[[Pages, _ByProject], dict[str, dict[str, str]]],
    pages: Pages,
    suggestions: Sequence[Suggestion],
    file: str | None,
    public: Collection[str],
) -> Iterator[str]:
    if not all(pages.scrapbox):
        raise UsageError(
            f"--format={form}: {pages.corpora[0].output} was not made of Scrapbox exports alone;"
            " choose csv or json"
        )
    texts = made(pages, scrapbox_pages.by_project(pages, suggestions, public))
    if file is None:
        yield _only(form, texts)
        return
    target, projects = files.checked(file), len(set(pages.projects))
    for project, parts in texts.items():
        yield from _write(_named(target, project, projects), parts)


def _scrapbox(pages: Pages, suggestions: _ByProject) -> dict[str, dict[str, str]]:
    """Of each project an import, and the same pages as text."""
    taken = scrapbox_pages.titles_taken(pages)
    name = f"Related pages {pages.corpora[0].manifest['finished'][:10]}"
    texts = {}
    for project, some in suggestions.items():
        made = list(scrapbox_pages.made_pages(pages, some, name, taken[project]))
        text = scrapbox_pages.text_of(made)
        texts[project] = {".json": _json(scrapbox_pages.import_of(made)), ".txt": text}
    return texts


def _userscript(pages: Pages, suggestions: _ByProject) -> dict[str, dict[str, str]]:
    """Of each project what is related to its pages."""
    related = scrapbox_pages.related
    return {project: {".json": _json(related(some))} for project, some in suggestions.items()}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _only(form: str, texts: Mapping[str, Mapping[str, str]]) -> str:
    if len(texts) > 1:
        raise UsageError(
            f"--format={form}: makes a file for each of the projects {', '.join(texts)}; add"
            " --file=related.json"
        )
    return next((parts[".json"].rstrip("\n") for parts in texts.values()), "{}")


def _named(file: Path, project: str, projects: int) -> Path:
    """`related.json`, or of several projects `related.PROJECT.json`."""
    project = project.replace("/", "_")
    return file if projects == 1 else file.with_name(f"{file.stem}.{project}{file.suffix}")


def _write(file: Path, parts: Mapping[str, str]) -> Iterator[str]:
    """The import where it was asked for, the text beside it."""
    for suffix, text in parts.items():
        beside = file.with_suffix(suffix if file.suffix != suffix else f".page{suffix}")
        path = file if suffix == ".json" else beside
        files.write(path, text)
        yield f"{path}: {_WHAT[suffix]}"


def as_projector(
    pages: Pages, suggestions: Sequence[Suggestion], file: str | None, public: Collection[str] = ()
) -> Iterator[str]:
    """Vectors and titles in the form that projector.tensorflow.org and TensorBoard load."""
    if file is None:
        raise UsageError("--format=projector: writes several files; add --file=FOLDER")
    folder = Path(file)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--file={file}: is a file; name a folder for the projector's files")
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / _TENSORS, pages.vectors.matrix, fmt="%.6g", delimiter="\t")
    titles = ["\t".join(_cell(part) for part in pair) for pair in zip(pages.titles, pages.ids)]
    (folder / _LABELS).write_text("\n".join(["title\tid", *titles]) + "\n", "utf-8")
    (folder / _CONFIG).write_text(
        f'embeddings {{\n  tensor_path: "{_TENSORS}"\n  metadata_path: "{_LABELS}"\n}}\n', "utf-8"
    )
    yield f"{folder}: tensorboard --logdir={folder} shows it"


def _cell(text: str) -> str:
    """What stays in one cell of a line."""
    return " ".join(text.split())
