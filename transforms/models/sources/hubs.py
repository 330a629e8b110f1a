"""tensorflow-hub, with corpusvec among the resolvers of its registry.

It is imported where a handle of it must be resolved or a module is loaded: it brings TensorFlow and
Keras 2, which take seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

LIBRARY = "tensorflow_hub"
_SCHEMES = ("hf://", "s3://")  # which it does not know


def join() -> None:
    """Register corpusvec with tensorflow-hub: now, or as soon as someone imports it."""
    if LIBRARY in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Finder())


def hub() -> Any:
    """tensorflow-hub."""
    from corpusvec.transforms.models.libraries.tensorflow import tf  # noqa: F401, I001 - first, to keep it quiet
    import tensorflow_hub

    return tensorflow_hub


def resolved(handle: str) -> str:
    """Where the model of a handle is, by a resolver that was added to tensorflow-hub's registry;
    the handle itself if none takes it. Then corpusvec downloads it: tensorflow-hub's own download
    waits for ever, has one try, and takes an archive that is cut between two files for whole.
    """
    return str(hub().resolve(_Asked(handle)))


class _Asked(str):
    """A handle that corpusvec itself resolves."""


class _Resolver:
    """In a user's own `hub.load`: the schemes that tensorflow-hub does not know."""

    def is_supported(self, handle: str) -> bool:
        return isinstance(handle, _Asked) or handle.startswith(_SCHEMES)

    def __call__(self, handle: str) -> str:
        if isinstance(handle, _Asked):
            return handle
        from corpusvec.transforms.models.sources.handles import local_model

        return local_model(handle, None)


def _register() -> None:
    """Before tensorflow-hub's own resolvers, and after those that others added."""
    from tensorflow_hub import compressed_module_resolver, registry

    resolvers = registry.resolver._impls  # the last one is asked first
    last = compressed_module_resolver.HttpCompressedFileResolver
    own = max(place for place, resolver in enumerate(resolvers) if type(resolver) is last)
    resolvers.insert(own + 1, _Resolver())


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        from packaging.version import Version

        # tensorflow-hub 0.16.1, its last version, takes one function from pkg_resources, which
        # setuptools 82 removed: https://github.com/tensorflow/hub/issues/934
        stand_in = ModuleType("pkg_resources")
        stand_in.parse_version = Version  # type: ignore[attr-defined]
        stands_in = sys.modules.setdefault("pkg_resources", stand_in) is stand_in
        try:
            super().exec_module(module)
        finally:
            if stands_in:
                del sys.modules["pkg_resources"]
        _register()


class _Finder:
    """Finds tensorflow-hub where Python does, and has `_Loader` import it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == LIBRARY else None
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
            return spec
        return None
