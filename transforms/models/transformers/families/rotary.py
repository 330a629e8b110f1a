"""Rotary positions, from the old and the new spellings of a configuration.

Source: transformers 5.23, modeling_rope_utils.py. What is computed there in float32 is here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from corpusvec.transforms.architectures import Rotary
from corpusvec.transforms.models.transformers.families.settings import Settings, finite_number
from corpusvec.transforms.storage.json_files import no_others, setting

Parameters = dict[str, Any]
_KEYS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "dynamic": ("factor",),
    "linear": ("factor",),
    "ntk": ("factor", "mixed_b"),
    "longrope": (
        *("factor", "attention_factor", "long_factor", "short_factor"),
        "original_max_position_embeddings",
    ),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": (
        *("factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"),
        *("original_max_position_embeddings", "truncate"),
    ),
}
_ALWAYS = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
_WIDEST = 1 << 16  # of heads
LAYER_TYPES = ("full_attention", "sliding_attention")


def of_all_layers(settings: Settings, size: int, longest: int, theta: float) -> Rotary:
    """Where all layers turn alike. `size` is a head's, `theta` the family's own."""
    older, newer = (settings.value(key, kind=dict) for key in ("rope_scaling", "rope_parameters"))
    found = dict(older or newer or {})
    theta = settings.number("rope_theta", default=theta)
    if settings.there("partial_rotary_factor"):
        found.setdefault(
            "partial_rotary_factor", settings.number("partial_rotary_factor", default=1.0)
        )
    if settings.there("original_max_position_embeddings"):
        before = settings.whole("original_max_position_embeddings")
        found["original_max_position_embeddings"] = before
    return rotary(settings, found, size, longest, theta)


def of_each_type(
    settings: Settings,
    size: int,
    longest: int,
    thetas: Mapping[str, tuple[str, float]],
    scaled: tuple[str, ...],
) -> dict[str, Rotary]:
    """Where layers that see all turn otherwise than those that see a window. `thetas` has the older
    key and the family's own value by type, `scaled` the types that `rope_scaling` is for.
    """
    said = settings.value("rope_parameters", kind=dict)
    older = settings.value("rope_scaling", kind=dict) or {}
    if said is None and older and "rope_type" not in older:
        # There each kind is `default` unless a rope_type replaces it.
        settings.notes.append(
            f"{settings.file.name}: rope_scaling has no rope_type; transformers does not apply it"
            " to this model then, and neither does corpusvec"
        )
        older = {}
    said = said or {}
    no_others(said, LAYER_TYPES, settings.file)
    found = {}
    for kind in LAYER_TYPES:
        key, own = thetas[kind]
        parameters = {
            **(setting(said, kind, dict, settings.file) or {}),
            **(older if kind in scaled else {}),
        }
        theta = settings.number(key, default=own)
        parameters.pop("truncate", None)  # transformers reads that of all layers alone
        found[kind] = rotary(settings, parameters, size, longest, theta)
    return found


def rotary(
    settings: Settings, parameters: Parameters, size: int, longest: int, theta: float
) -> Rotary:
    """Raises `ValueError` where the kind is not implemented."""
    file = settings.file
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    if str(kind) not in _KEYS:
        raise ValueError(f"{file}: rope_type is {kind!r}, which is not implemented")
    no_others(parameters, (*_ALWAYS, *_KEYS[kind]), file)
    if (share := parameters.get("partial_rotary_factor")) not in (None, 1, 1.0):
        raise ValueError(f"{file}: partial_rotary_factor is {share!r}; only 1 is implemented")
    if size % 2 or size > _WIDEST:
        raise ValueError(f"{file}: heads of {size} dimensions cannot be turned pair by pair")
    given = parameters.get("rope_theta")
    base = finite_number("rope_theta", theta if given is None else given, file)
    if base <= 0:
        raise ValueError(f"{file}: rope_theta must be above zero, got {base}")
    try:
        with np.errstate(all="ignore"):
            turned = _KINDS[kind](parameters, size, longest, base)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: the rope_parameters of a {kind} rope are not whole ({error!r})"
        ) from error
    if not np.isfinite([*turned.frequencies, turned.factor, *turned.long]).all():
        raise ValueError(f"{file}: the rope_parameters of a {kind} rope give angles without end")
    return turned


def _angles(base: float, size: int) -> np.ndarray:
    powers = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    return np.float32(1) / np.float32(base) ** powers


def _default(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    return _rotary(_angles(base, size))


def _dynamic(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    # It differs only for texts that are longer than the model takes.
    return replace(_default(parameters, size, longest, base), ends=True)


def _linear(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    return _rotary(_angles(base, size) / np.float32(parameters["factor"]))


def _ntk(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    """Source: Alibaba-NLP/new-impl, modeling.py, NTKScalingRotaryEmbedding."""
    factor, mixed = parameters["factor"], parameters.get("mixed_b")
    if mixed is None:
        return _rotary(_angles(base * factor, size) / np.float32(factor ** (2 / size)))
    rate = math.log(factor) / (size / 2) ** mixed
    steps = np.arange(1, size // 2 + 1, dtype=np.float32) ** np.float32(mixed)
    return _rotary(_angles(base, size) / np.exp(np.float32(rate) * steps))


def _llama3(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    factor, low, high = (
        parameters[key] for key in ("factor", "low_freq_factor", "high_freq_factor")
    )
    before = parameters.get("original_max_position_embeddings") or longest
    angles = _angles(base, size)
    waves = 2 * math.pi / angles
    slow = np.where(waves > before / low, angles / np.float32(factor), angles)
    smooth = (before / waves - low) / (high - low)
    mixed = (1 - smooth) * slow / factor + smooth * slow
    medium = (waves >= before / high) & (waves <= before / low)
    return _rotary(np.where(medium, mixed, slow))


def _yarn(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    before = parameters.get("original_max_position_embeddings") or longest
    factor = parameters["factor"]
    factor = longest / before if factor is None else factor
    bounds = []
    for key, usual in (("beta_fast", 32), ("beta_slow", 1)):
        turns = parameters.get(key) or usual
        bounds.append(size * math.log(before / (turns * 2 * math.pi)) / (2 * math.log(base)))
    if parameters.get("truncate", True):
        bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
    low, high = max(bounds[0], 0), min(bounds[1], size - 1)
    high = high + 0.001 if low == high else high
    places = np.arange(size // 2, dtype=np.float32)
    ramp = np.clip((places - np.float32(low)) / np.float32(high - low), 0, 1)
    angles = _angles(base, size)
    mixed = angles / np.float32(factor) * ramp + angles * (1 - ramp)
    return _rotary(mixed, _yarn_factor(parameters, factor))


def _yarn_factor(parameters: Parameters, factor: float) -> float:
    """What cosine and sine are multiplied by."""
    said, ours, theirs = (
        parameters.get(key) for key in ("attention_factor", "mscale", "mscale_all_dim")
    )
    if said is not None:
        return float(said)

    def scale(by: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1.0

    return scale(ours) / scale(theirs) if ours and theirs else scale(1)


def _longrope(parameters: Parameters, size: int, longest: int, base: float) -> Rotary:
    """Unlike in the original, the length that decides is a text's own, not that of the longest
    beside it.
    """
    before = parameters.get("original_max_position_embeddings") or longest
    factor, scale = parameters.get("factor"), parameters.get("attention_factor")
    factor = longest / before if factor is None else factor
    if scale is None:
        scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(before))
    short, long = (
        _angles(base, size) / np.array(parameters[key], np.float32).reshape(size // 2)
        for key in ("short_factor", "long_factor")
    )
    turned = _rotary(short, float(scale))
    if longest <= before:
        return replace(turned, ends=True)
    return replace(turned, long=_rotary(long).frequencies, usual_length=int(before))


def _rotary(angles: np.ndarray, factor: float = 1.0) -> Rotary:
    return Rotary(tuple(angles.astype(np.float32).tolist()), factor)


_KINDS: Mapping[str, Callable[[Parameters, int, int, float], Rotary]] = {
    "default": _default,
    "dynamic": _dynamic,
    "linear": _linear,
    "llama3": _llama3,
    "longrope": _longrope,
    "ntk": _ntk,
    "yarn": _yarn,
}
