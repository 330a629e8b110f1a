"""How a program that is measured answers: with a line once it has loaded and warmed up, then with
one for each line that it is sent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def serve(work: Callable[[], float]) -> None:
    """Until stdin ends: for each line of it do `work`, and print how much of that was done in a
    second. `work` returns how much it did, and is done once before, to warm up.
    """
    work()
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        done = work()
        print(json.dumps({"rate": done / (time.perf_counter() - started)}), flush=True)
