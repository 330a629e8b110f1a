"""A `config.json`, read key by key; what was asked for is what corpusvec knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpusvec.transforms.storage.json_files import setting, whole_number

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
# Above these a number is a mistake, and could take all memory before the weights show it.
_MOST, _MOST_NUMBER = (1 << 31) - 1, 1e300
MOST_LAYERS = 10_000
MOST_DISTANCES = 1 << 24  # which a table has


def finite_number(key: str, value: Any, file: Path) -> float:
    """The value of a key. Raises `ValueError` where it is none."""
    found = setting({key: value}, key, int | float, file)
    if found is None or not abs(found) < _MOST_NUMBER:
        raise ValueError(f"{file}: {key} must be a finite number, got {found!r}")
    return float(found)


class Settings:
    """The values of a file. Each is asked for by its name and, where older files or those of other
    programs call it otherwise, by further ones; the first that is there counts. `notes` tell of
    those that do not act.

    Raises `ValueError` naming file and key where a value is not what it must be.
    """

    def __init__(self, values: Mapping[str, Any], file: Path):
        self._values, self.file = values, file
        self.known: set[str] = set()
        self.notes: list[str] = []

    def there(self, *keys: str) -> bool:
        """Whether one of the keys has a value, null being none."""
        self.known.update(keys)
        return any(self._values.get(key) is not None for key in keys)

    def whole(
        self, *keys: str, default: int | None = None, least: int = 1, most: int = _MOST
    ) -> int:
        """A whole number; null is none."""
        key, value = self._found(keys, default)
        found = whole_number({key: value}, key, self.file, least)
        if found > most:
            raise ValueError(f"{self.file}: {key} must be an integer ≤ {most}, got {found}")
        return found

    def optional(self, *keys: str, default: int | None = None) -> int | None:
        """A whole number, or None where null stands, or nothing and there is no default."""
        _, value = self._found(keys, default)
        return None if value is None else self.whole(*keys, default=default)

    def layers(self, *keys: str, default: int | None = None) -> int:
        """How many layers there are."""
        return self.whole(*keys, default=default, most=MOST_LAYERS)

    def number(self, *keys: str, default: float | None = None) -> float:
        return finite_number(*self._found(keys, default), self.file)

    def epsilon(self, *keys: str, default: float) -> float:
        """What keeps a norm from dividing by zero."""
        key, value = self._found(keys, default)
        if not isinstance(value, float | int) or isinstance(value, bool) or not 0 <= value < 1:
            raise ValueError(f"{self.file}: {key} must be a small number, got {value!r}")
        return value

    def flag(self, *keys: str, default: bool = False) -> bool:
        key, value = self._found(keys, default)
        return bool(setting({key: value}, key, bool, self.file))

    def value(self, *keys: str, kind: Any, default: Any = None) -> Any:
        """Of a type, or the default where null or nothing stands."""
        key, value = self._found(keys, default)
        found = setting({key: value}, key, kind, self.file)
        return default if found is None else found

    def activation(self, *keys: str, default: str, known: Mapping[str, str] | None = None) -> str:
        """A key of `blocks.feed_forward.ACTIVATIONS`."""
        known = ACTIVATIONS if known is None else known
        key, value = self._found(keys, default)
        if str(value) not in known:
            raise ValueError(f"{self.file}: {key} {value!r} is none of {', '.join(known)}")
        return known[str(value)]

    def only(self, key: str, *allowed: Any, reason: str = "that is not implemented") -> None:
        """Raises `ValueError` where a key has another value than null and these."""
        self.known.add(key)
        if (value := self._values.get(key)) is not None and value not in allowed:
            self.refuse(key, reason)

    def refuse(self, key: str, reason: str) -> None:
        raise ValueError(f"{self.file}: {key} is {shortened(self._values.get(key))}; {reason}")

    def divided(self, whole: str, size: int, parts: str, count: int) -> int:
        """The size of one of the equal parts."""
        if size % count:
            raise ValueError(f"{self.file}: {whole} {size} cannot be divided among {parts} {count}")
        return size // count

    def _found(self, keys: tuple[str, ...], default: Any) -> tuple[str, Any]:
        self.known.update(keys)
        key = next((key for key in keys if key in self._values), keys[0])
        return key, self._values.get(key, default)


def shortened(value: Any) -> str:
    """A value as it is shown to a user."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
