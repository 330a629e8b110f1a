"""corpusvec's own counters of a job on Flink, while it runs."""

from __future__ import annotations

import base64
import json
from collections import Counter
from urllib.parse import urlencode

from corpusvec.pipeline.runners.flink.rest import ask

_BEAM = "__metricscontainers"  # what Beam calls all of its metrics
_COUNTER = "beam:metric:user:sum_int64:v1"
_OURS = ".corpusvec_"  # in Flink's names of them


class Counters:
    """Of the parts of a job that are done, as Beam has them, and of those that run, as Flink saw
    them some seconds ago.

    What a part has counted is on its way while it ends, so what was seen stays, until some part
    begins again: what that counted the time before is gone.
    """

    def __init__(self, address: str, job: str):
        self._address, self._job = address, f"/jobs/{job}"
        self._attempts: dict[str, list[int]] = {}
        self._stale: dict[str, dict[str, int]] = {}
        self._seen: Counter[str] = Counter()

    def totals(self) -> Counter[str]:
        """Raises what `ask` raises, and `LookupError` or `TypeError` for what is no answer."""
        totals = self._of_done()
        for vertex in ask(self._address, self._job)["vertices"]:
            if vertex["status"] == "RUNNING":
                totals += self._of_running(vertex["id"])
        self._seen |= totals
        return self._seen.copy()

    def _of_done(self) -> Counter[str]:
        totals: Counter[str] = Counter()
        path = f"{self._job}/accumulators?includeSerializedValue=false"
        for told in ask(self._address, path)["user-task-accumulators"]:
            if told["name"] == _BEAM:
                for one in json.loads(told["value"])["metrics"]["attempted"]:
                    labels = one.get("labels", {})
                    if one["urn"] == _COUNTER and labels.get("NAMESPACE") == "corpusvec":
                        totals[labels["NAME"]] += _number(one.get("payload", ""))
        return totals

    def _of_running(self, vertex: str) -> Counter[str]:
        """Flink keeps what it was told of a worker that is done by now; Beam has it, too."""
        path = f"{self._job}/vertices/{vertex}"
        workers = ask(self._address, path)["subtasks"]
        self._note_attempts(vertex, [worker["attempt"] for worker in workers])
        running = [str(one["subtask"]) for one in workers if one["status"] == "RUNNING"]
        metrics = f"{path}/subtasks/metrics"
        names = [one["id"] for one in ask(self._address, metrics) if _OURS in one["id"]]
        if not (running and names):
            return Counter()
        query = {"get": ",".join(names), "subtasks": ",".join(running), "agg": "sum"}
        found = ask(self._address, f"{metrics}?{urlencode(query)}")
        totals: Counter[str] = Counter()
        for one in found:  # of each step of the vertex: several count the same
            if self._is_new(vertex, one["id"], n := int(one["sum"])):
                totals[one["id"].rpartition(_OURS)[2]] += n
        return totals

    def _note_attempts(self, vertex: str, attempts: list[int]) -> None:
        if self._attempts.setdefault(vertex, attempts) != attempts:
            self._attempts[vertex], self._stale[vertex] = attempts, {}
            self._seen.clear()

    def _is_new(self, vertex: str, name: str, n: int) -> bool:
        """Where a part began again Flink shows what it counted before, until it counts again."""
        stale = self._stale.get(vertex)
        return stale is None or stale.setdefault(name, n) != n


def _number(payload: str) -> int:
    """Of Beam's encoding: seven bits a byte, the lowest first, in Base64."""
    return sum((byte & 127) << 7 * n for n, byte in enumerate(base64.b64decode(payload)))
