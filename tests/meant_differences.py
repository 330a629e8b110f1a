"""Where corpusvec means to differ from a model's original program, one case for each line of the
list in docs/models.md.

`python -m tests.meant_differences [FILE]` writes what sentence-transformers makes of each, into
`golden/meant_differences.npz` if no other file is named; see `model_settings`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.model_settings import Edit, base, both, says

GOLDEN = Path(__file__).parent / "golden" / "meant_differences.npz"


@dataclass(frozen=True)
class Case:
    """`line` begins the line of the list. `texts` is given to a folder after `edit`. `original` are
    the settings that do as the original does; None where there are none.
    """

    line: str
    texts: tuple[str, ...]
    edit: Edit = lambda folder: None
    original: Mapping[str, Any] | None = None


def _halve(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = {name: array.astype(np.float16) for name, array in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


def _plain(folder: Path) -> None:
    for file in (folder / "modules.json", *folder.glob("*sentence_*.json")):
        file.unlink()
    for module in folder.glob("[0-9]_*"):
        shutil.rmtree(module)


_SHORT = ("the garden is quiet", "rain", "a good book about tomatoes and rain")

CASES: Mapping[str, Case] = {
    "long texts": Case(
        "A text longer than the model", ("red garden " * 60,), original={"long_text": "truncate"}
    ),
    "special tokens in a text": Case(
        "A special token of the model's structure", ("the [MASK] is [SEP] a",)
    ),
    "blank texts": Case("A blank text", (" ",)),
    "half precision": Case("A model stored in half precision", _SHORT, _halve),
    "a folder without modules": Case(
        "A folder without `modules.json`",
        _SHORT,
        _plain,
        {"vectors": "vector=mean@-1"},
    ),
    "a prompt that a text continues": Case(
        "Some models leave the prompt out of the pooling",
        ("ering",),
        both(
            says(
                "config_sentence_transformers.json",
                prompts={"query": "wat"},
                default_prompt_name="query",
            ),
            says("1_Pooling/config.json", include_prompt=False),
        ),
    ),
    "padding at the left": Case(
        "Three kinds of models see the padding",
        _SHORT,
        says("tokenizer_config.json", padding_side="left"),
    ),
}


def vectors_of(case: Case, place: Path, encode: Callable[[Path, list[str]], Any]) -> np.ndarray:
    """What a program makes of a case's texts."""
    folder = base(place / "model")
    case.edit(folder)
    return np.asarray(encode(folder, list(case.texts)), np.float32)


def main(target: str | Path = GOLDEN) -> None:
    """Write the vectors of sentence-transformers."""
    import tempfile

    from sentence_transformers import SentenceTransformer

    def together(folder: Path, texts: list[str]) -> Any:
        return SentenceTransformer(str(folder), device="cpu").encode(texts)

    def alone(folder: Path, texts: list[str]) -> Any:
        return SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=1)

    vectors = {}
    for name, case in CASES.items():
        for kind, encode in (("together", together), ("alone", alone)):
            with tempfile.TemporaryDirectory() as place:
                vectors[f"{name}, {kind}"] = vectors_of(case, Path(place), encode)
    np.savez_compressed(target, **vectors)


if __name__ == "__main__":
    main(*sys.argv[1:])
