"""The forms of `related` that other programs take, as files: Scrapbox's, and those of TensorBoard's
projector.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusvec.pipeline.flags.parsing import UsageError
from corpusvec.pipeline.reports import files, scrapbox_pages
from corpusvec.pipeline.reports.contents import is_scrapbox

if TYPE_CHECKING:
    from corpusvec.pipeline.links.corpora import Corpus
    from corpusvec.transforms.links.suggestions import Suggestion

SCRAPBOX, USERSCRIPT, PROJECTOR = "scrapbox", "userscript", "projector"
FORMS = (SCRAPBOX, USERSCRIPT, PROJECTOR)
_WHAT = {".json": "to be given to Scrapbox", ".txt": "the same, to be pasted"}
_TENSORS, _LABELS, _CONFIG = "tensors.tsv", "metadata.tsv", "projector_config.pbtxt"


def exchange(
    form: str,
    corpora: Sequence[Corpus],
    suggestions: Sequence[Suggestion],
    file: str | None,
    public: Collection[str] = (),
    column: str | None = None,
) -> Iterator[str]:
    """The lines to print: the text itself without a `file`, else which files were written."""
    if form == PROJECTOR:
        yield from _projector(corpora[0], file, column)
        return
    for corpus in corpora:
        if not is_scrapbox(corpus.manifest):
            raise UsageError(
                f"--format={form}: {corpus.output} was not made of Scrapbox exports alone; choose"
                " csv or json"
            )
    texts = _scrapbox(corpora, suggestions, public) if form == SCRAPBOX else {}
    for project, some in scrapbox_pages.by_project(suggestions, public).items():
        if form == USERSCRIPT:
            texts[project] = {".json": _json(scrapbox_pages.related(some))}
    if file is None:
        yield _only(form, texts)
        return
    target = files.checked(file)
    for project, parts in texts.items():
        yield from _write(_named(target, project, len(texts)), parts)


def _scrapbox(
    corpora: Sequence[Corpus], suggestions: Sequence[Suggestion], public: Collection[str]
) -> dict[str, dict[str, str]]:
    """Of each project an import, and the same pages as text."""
    taken: dict[str, set[str]] = {}
    for corpus in corpora:
        for project, keys in scrapbox_pages.titles_taken(corpus).items():
            taken.setdefault(project, set()).update(keys)
    day = str(corpora[0].manifest["finished"])[:10]
    texts = {}
    for project, some in scrapbox_pages.by_project(suggestions, public).items():
        made = list(scrapbox_pages.pages(some, f"Related pages {day}", taken[project]))
        text = scrapbox_pages.text_of(made)
        texts[project] = {".json": _json(scrapbox_pages.import_of(made)), ".txt": text}
    return texts


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
    return file if projects == 1 else file.with_name(f"{file.stem}.{project}{file.suffix}")


def _write(file: Path, parts: Mapping[str, str]) -> Iterator[str]:
    """The import where it was asked for, the text beside it."""
    for suffix, text in parts.items():
        beside = file.with_suffix(suffix if file.suffix != suffix else f".page{suffix}")
        path = file if suffix == ".json" else beside
        files.write(path, text)
        yield f"{path}: {_WHAT[suffix]}"


def _projector(corpus: Corpus, file: str | None, column: str | None) -> Iterator[str]:
    """Vectors and titles in the form that projector.tensorflow.org and TensorBoard load."""
    if file is None:
        raise UsageError("--format=projector: writes several files; add --file=FOLDER")
    folder = Path(file)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--file={file}: is a file; name a folder for the projector's files")
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / _TENSORS, corpus.matrix(column), fmt="%.6g", delimiter="\t")
    titles = ["\t".join(_cell(part) for part in pair) for pair in zip(corpus.titles, corpus.ids)]
    (folder / _LABELS).write_text("\n".join(["title\tid", *titles]) + "\n", "utf-8")
    (folder / _CONFIG).write_text(
        f'embeddings {{\n  tensor_path: "{_TENSORS}"\n  metadata_path: "{_LABELS}"\n}}\n', "utf-8"
    )
    yield f"{folder}: tensorboard --logdir={folder} shows it"


def _cell(text: str) -> str:
    """What stays in one cell of a line."""
    return " ".join(text.split())
