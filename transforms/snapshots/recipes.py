"""Whether two snapshots are of one recipe: what decides their vectors, and how many records they
are of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# The flags that decide a part of a recipe's description; other parts are named as their flags.
_FLAGS = {
    "model": ["model", "signature", "output_key"],
    "tokenizer": ["tokenizer", "do_lower_case"],
    "vectors": ["vectors", "output_key"],
    "quantization": ["vector_ranges"],
}
_LONGEST = 60  # characters of a flag's value that are shown


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what differs in two descriptions of recipes, parts of parts by a dot."""
    names = []
    for name in sorted({*before, *after} - {"fingerprint"}):
        one, other = before.get(name), after.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            names += [f"{name}.{part}" for part in differences(one, other)]
        elif one != other:
            names.append(name)
    return names


def another(before: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """How the recipe of `made` differs from that of `before`, told by flags; empty if they are the
    same.

    Another version of this program may describe the same settings in another way, and by other
    rules also the same model: a difference that the user did not make does not count.
    """
    found = [*_settings(before, made), *other_limit(before, made)]
    return "; ".join(dict.fromkeys(found))


def other_limit(before: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """As above, of --limit alone. A trial is not to take the place of the whole, nor of another
    trial; the whole may take that of a trial.
    """
    limited = made.get("configuration", {}).get("limit") is not None
    return [*_asked(before, made, ["limit"])] if limited else []


def _settings(before: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    old, new = before.get("run") or {}, json.loads(json.dumps(made.get("run") or {}))
    if not (old and new):  # the first versions did not write it down
        return
    for name in differences(old, new):
        part = name.partition(".")[0]
        if asked := [*_asked(before, made, _FLAGS.get(part, [part]))]:
            yield from asked
        elif name == "model.digest" and _is_replaced(before, made):
            yield f"--model: other files in {made['configuration']['model']}"
        elif part == "quantization" and (path := made["configuration"].get("vector_ranges")):
            yield f"--vector_ranges: other numbers in {path}"


def _is_replaced(before: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    """Whether a model of another digest is another one: under other rules other files of the same
    model may be read, but its weights stay as they are.
    """
    old, new = ((one["run"].get("rules"), one.get("weights_digest")) for one in (before, made))
    return old[0] == new[0] or (None not in (old[1], new[1]) and old[1] != new[1])


def _asked(
    before: Mapping[str, Any], made: Mapping[str, Any], flags: Sequence[str]
) -> Iterator[str]:
    """Those of the flags that were given otherwise."""
    was, now = (manifest.get("configuration", {}) for manifest in (before, made))
    for flag in flags:
        if was.get(flag) != now.get(flag):
            yield f"--{flag}: {_told(now.get(flag))}, was {_told(was.get(flag))}"


def _told(value: Any) -> str:
    if value is None or value is False:
        return "not given"
    return "given" if value is True else f"{value!r:.{_LONGEST}}"
