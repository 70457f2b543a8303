"""Saved: a model by its path and its hash, opened once in each process that works on a job."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recokit.errors import ConfigurationError, DataError
from recokit.pipeline import Pipeline

#: The file that tells a folder of ``Pipeline.save`` from one of :class:`recokit.serving.Artifacts`.
_MANIFEST = "manifest.json"
#: Models that a process keeps open: a long-lived worker drops those of earlier jobs.
_OPEN = 2
_LOCK = threading.RLock()
_OPENED: dict[Saved, Pipeline] = {}
_loads = 0


@dataclass(frozen=True)
class Saved:
    """A fitted pipeline on disk, small enough to travel with every task.

    Parameters
    ----------
    path : str
        A folder of ``Pipeline.save``, or a folder or URL of :class:`recokit.serving.Artifacts`.
    version : str or None
        Name of the version among artifacts; None for a saved pipeline.
    fingerprint : str
        Of the pipeline: another model at this path is refused.
    trusted : tuple of type
        Your own stage classes.
    connections : tuple of (str, str)
        URL or path of each store that the pipeline reads.
    cache : str or None
        For a URL: the folder of each machine that the version is copied to.
    """

    path: str
    version: str | None
    fingerprint: str
    trusted: tuple[type, ...] = ()
    connections: tuple[tuple[str, str], ...] = ()
    cache: str | None = None

    @classmethod
    def of(
        cls,
        path: Any,
        *,
        trusted: Sequence[type] = (),
        connections: Mapping[str, str] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> Saved:
        """Return the model that a path holds now; it is opened, so that what executors would refuse is refused here.

        Raises
        ------
        ConfigurationError
            For a pipeline in memory, a class that executors cannot import, a store that is open, or a stage whose class
            is neither recokit's nor trusted.
        DataError
            If there is no model at the path.
        """
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(
                f"found a {type(path).__name__} for the path of a model; expected the folder of a saved one, which "
                "every worker opens; hint: pipeline.save('model'), which refuses functions and says in which stage"
            )
        for stage in trusted:
            _require_importable(stage)
        stores = tuple(sorted((connections or {}).items()))
        for name, store in stores:
            if not isinstance(store, str):
                raise ConfigurationError(
                    f"found an open {type(store).__name__} for connection {name!r}; expected its URL or path, which "
                    "each worker opens"
                )
        place = str(path) if "://" in str(path) else os.path.abspath(path)
        version = None if (Path(place) / _MANIFEST).is_file() else _current(place, cache)
        unnamed = cls(
            path=place,
            version=version,
            fingerprint="",
            trusted=tuple(trusted),
            connections=stores,
            cache=None if cache is None else str(cache),
        )
        with _LOCK:
            pipeline = unnamed._load()
            saved = replace(unnamed, fingerprint=pipeline.fingerprint)
            _keep(saved, pipeline)
        return saved

    def open(self) -> Pipeline:
        """Return the pipeline, loaded by the first call in this process.

        Raises
        ------
        DataError
            If the path holds another model than the job was made for.
        """
        with _LOCK:
            if self not in _OPENED:
                pipeline = self._load()
                if pipeline.fingerprint != self.fingerprint:
                    raise DataError(
                        f"found the model {pipeline.fingerprint} at {self.path}; expected {self.fingerprint}, which "
                        "the job was made for; hint: a folder of its own for each model, or serving.Artifacts"
                    )
                _keep(self, pipeline)
            return _OPENED[self]

    def _load(self) -> Pipeline:
        """Load the pipeline, its arrays mapped into memory: processes on one machine share them."""
        global _loads
        _loads += 1
        connections = dict(self.connections)
        if self.version is None:
            return Pipeline.load(self.path, trusted=self.trusted, connections=connections, mapped=True)
        from recokit.serving import Artifacts

        artifacts = Artifacts(self.path, trusted=self.trusted, connections=connections, cache=self.cache)
        return artifacts.load(self.version)


def n_loads() -> int:
    """Return how many times this process has loaded a model."""
    return _loads


def _keep(saved: Saved, pipeline: Pipeline) -> None:
    """Keep a model open, in place of the oldest where there are too many."""
    _OPENED[saved] = pipeline
    while len(_OPENED) > _OPEN:
        del _OPENED[next(iter(_OPENED))]


def _current(path: str, cache: str | os.PathLike[str] | None) -> str:
    """Return the name of the version that serves."""
    from recokit.serving import Artifacts

    if "://" not in path and not Path(path).is_dir():
        raise DataError(f"found no folder {path}; expected that of a saved pipeline, or of serving.Artifacts")
    version = Artifacts(path, cache=cache).current
    if version is None:
        raise DataError(f"found no model at {path}; expected one; hint: pipeline.save(path)")
    return version.name


def _require_importable(stage: Any) -> None:
    """Raise ConfigurationError for a class that another process could not import by its name."""
    name = f"{getattr(stage, '__module__', '?')}.{getattr(stage, '__qualname__', stage)}"
    found: Any = None
    if isinstance(stage, type) and stage.__module__ != "__main__" and "<" not in stage.__qualname__:
        found = importlib.import_module(stage.__module__)
        for part in stage.__qualname__.split("."):
            found = getattr(found, part, None)
    if found is not stage:
        raise ConfigurationError(
            f"found trusted={name}, which workers cannot import; expected a class of a module that is installed on "
            "them; hint: put it into a package, not into a notebook or script"
        )
