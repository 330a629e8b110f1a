"""Time and memory of an encoder over thousands of batches, no two of one shape: they stay as they
are unless a graph is built or traced again.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

from benchmarks import machine, races
from benchmarks.plans import Plan
from benchmarks.rows import Row

BATCHES = 2000
_SETTLED = 500  # batches until the pools of memory have their size
_BUDGET = 512  # padded tokens of a batch


def measure(plan: Plan) -> list[Row]:
    """The model, its export as a SavedModel, that which takes strings, and any other models."""
    names = {"our own BERT": plan.model}
    for name, flags in {"SavedModel": [], "SavedModel that takes strings": ["--strings"]}.items():
        names[name] = str(plan.folder / name)
        command = [sys.executable, "-m", "pipeline", "export-model", plan.model, names[name]]
        races.run(name, [*command, *flags])
    names |= {Path(place).name: str(Path(place).absolute()) for place in plan.also}
    return [_row(name, place, plan.scaled(plan.batches)) for name, place in names.items()]


def _row(name: str, model: str, batches: int) -> Row:
    command = [sys.executable, "-m", "benchmarks.shapes", model, str(batches)]
    said = json.loads(races.run(name, command).splitlines()[-1])
    first, last = said["seconds"]
    settled, end = said["MiB"]
    what = (
        f"{name}: {batches:,} batches of changing shapes, after {_SETTLED} others: resident memory"
        " before and after; time for a padded token, last quarter ÷ first"
    )
    return Row(what, f"{settled:,.0f} MiB; {end:,.0f} MiB; {last / first:.2f}")


def run(model: str, batches: int) -> dict[str, list[float]]:
    """Encode one batch after the other in this process: memory, and seconds for a padded token of
    the first and of the last quarter after it has settled.
    """
    from corpusvec.pipeline.settings import Settings
    from corpusvec.transforms.models.kinds import load_encoder

    recipe = Settings(model=model).resolve()
    encoder = load_encoder(recipe.spec, recipe.wanted)
    chance = random.Random(7)
    seconds, memory = [], []
    for number in range(_SETTLED + batches):
        windows = _batch(recipe.spec.tokenizer is None, chance)
        padded = len(windows) * int(windows.sizes.max())
        started = time.perf_counter()
        encoder.encode(windows)
        if number >= _SETTLED:
            seconds.append((padded, time.perf_counter() - started))
        if number == _SETTLED:
            memory.append(machine.held("VmRSS"))
    quarter = max(len(seconds) // 4, 1)
    parts = [seconds[:quarter], seconds[-quarter:]]
    return {
        "MiB": [*memory, machine.held("VmRSS")],
        "seconds": [sum(s for _, s in part) / sum(n for n, _ in part) for part in parts],
    }


def _batch(strings: bool, chance: random.Random):
    """Windows of any lengths: ids that every vocabulary has, or words."""
    from corpusvec.transforms.models.probes import id_windows, text_windows

    longest = chance.randint(2, 128)
    lengths = [chance.randint(1, longest) for _ in range(chance.randint(1, _BUDGET // longest))]
    lengths = [*lengths, longest]
    if strings:
        words = ("garden", "tomato", "rain", "book", "tea", "snow", "42")
        return text_windows(*(" ".join(chance.choices(words, k=length)) for length in lengths))
    return id_windows(*([chance.randrange(5, 60) for _ in range(length)] for length in lengths))


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
