"""Prompts that models were trained with and that their cards ask for, where their files say none.

A prompt stands before every text of a run. Most of these models want one before documents and
another before queries, some before queries alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from corpusvec.transforms.specs import ModelSpec
from corpusvec.transforms.storage.json_files import read_json

_SEARCHING = "Represent this sentence for searching relevant passages: "
_SEARCHING_ZH = "为这个句子生成表示以用于检索相关文章："

# What a model's name holds, in lower case; the prompts before documents and queries.
_PROMPTS: tuple[tuple[str, str | None, str], ...] = (
    (r"e5-(small|base|large)(?!.*instruct)", "passage: ", "query: "),
    (r"(glucose-base-ja-v2|rosetta-base-ja)", "passage: ", "query: "),
    (r"nomic-embed-text|modernbert-embed", "search_document: ", "search_query: "),
    (r"ruri-v3", "検索文書: ", "検索クエリ: "),
    (r"ruri-(small|base|large)", "文章: ", "クエリ: "),
    (r"bge-(small|base|large)-en", None, _SEARCHING),
    (r"bge-(small|base|large)-zh", None, _SEARCHING_ZH),
    (r"mxbai-embed-large|uae-large", None, _SEARCHING),
    (r"snowflake-arctic-embed-(m|l)-v2", None, "query: "),
    (r"snowflake-arctic-embed", None, _SEARCHING),
)


def notes(model: str, spec: ModelSpec) -> Iterator[str]:
    """A note for a run without a prompt of a model whose card asks for one; `model` is what the
    user calls it.
    """
    if spec.kind not in ("hugging_face", "static") or spec.default_prompt:
        return
    for name in _names(model, spec):
        for pattern, document, query in _PROMPTS:
            if not re.search(rf"(?<![a-z0-9]){pattern}", name.lower()):
                continue
            if document is None:
                yield (
                    f"the card of {name} asks for a prompt before queries, and for none before"
                    f" other texts: embed queries with --prompt='{query}'"
                )
            else:
                yield (
                    f"this run has no prompt, and the card of {name} asks for one: embed with"
                    f" --prompt='{document}', and queries with --prompt='{query}'"
                )
            return


def query_prompt(model: str, spec: ModelSpec) -> str | None:
    """What a question is to begin with: the model's own prompt `query`, else what its card says.
    None where neither says anything.
    """
    if (own := dict(spec.prompts).get("query")) is not None:
        return own
    if spec.kind != "hugging_face":
        return None
    for name in _names(model, spec):
        for pattern, _, query in _PROMPTS:
            if re.search(rf"(?<![a-z0-9]){pattern}", name.lower()):
                return query
    return None


def _names(model: str, spec: ModelSpec) -> Iterator[str]:
    """What the model may be called: by the user, by its folder, by its configuration."""
    yield Path(model.split("@")[0]).name
    yield Path(spec.path).name
    yield from (part for part in Path(spec.path).parts if part.startswith("models--"))
    config = Path(spec.path) / "config.json"
    if config.is_file() and isinstance(name := read_json(config).get("_name_or_path"), str):
        yield Path(name).name
