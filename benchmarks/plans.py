"""What all groups of measurements are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import random_bert

ROOT = Path(__file__).resolve().parents[1]
_PEERS = Path(__file__).with_name("peers")
NO_PEERS = "needs --peers=DIR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`model` and `base` are folders (`base` is None where one is to be made up), `peers` and
    `openvino` are virtual environments, `folder` is a temporary one. `size` scales numbers of texts
    down, for trials.
    """

    model: str
    folder: Path
    base: str | None = None
    peers: Path | None = None
    openvino: Path | None = None
    rounds: int
    size: float = 1.0
    documents: int
    batches: int
    also: tuple[str, ...] = ()

    def scaled(self, n: int) -> int:
        """How many texts, where `n` is the usual number."""
        return max(8, round(n * self.size))

    def base_model(self) -> str:
        """A folder with a BERT-base."""
        if self.base is not None:
            return self.base
        return str(random_bert.write(self.folder / "bert-base", Path(self.model)))

    def peer(self, script: str, *arguments: str | Path) -> list[str]:
        """The command that runs a file of `peers/`; there are peers."""
        return [f"{self.peers}/bin/python", str(_PEERS / script), *map(str, arguments)]
