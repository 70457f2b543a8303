"""What sources made of sources share."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._utils.params import Configured
from recokit.compose.fusion import check_retrieved
from recokit.compose.step import stage_of
from recokit.data.candidates import Retrieved
from recokit.data.dataset import Dataset
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Role, role_of

__all__ = ["Composed", "ask", "require_sources"]


class Composed(Configured):
    """What sources made of sources share: they learn, bind and require what their parts do."""

    sources: Sequence[Any]

    def _stages(self) -> list[Any]:
        return [stage_of(source) for source in self.sources]

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the sources need."""
        names = (name for stage in self._stages() for name in getattr(stage, "requires", ()))
        return tuple(dict.fromkeys(names))

    @property
    def io_bound(self) -> bool:
        """Whether any source waits for input and output."""
        return any(getattr(stage, "io_bound", False) for stage in self._stages())

    @property
    def live(self) -> bool:
        """Whether any source depends on today's state."""
        return any(getattr(stage, "live", False) for stage in self._stages())

    @property
    def as_of(self) -> bool:
        """Whether all sources evaluate strictly before each request's own time."""
        return all(getattr(stage, "as_of", False) for stage in self._stages())

    @property
    def fitted_until_(self) -> float:
        """Latest time that a source has learned from, ``-inf`` where none has."""
        return max((getattr(stage, "fitted_until_", -np.inf) for stage in self._stages()), default=-np.inf)

    def fit(self, dataset: Dataset) -> Any:
        """Fit every source that learns."""
        for stage in self._stages():
            if hasattr(stage, "fit"):
                stage.fit(dataset)
        return self

    def bind(self, schema: Schema) -> Any:
        """Return a copy with every source bound to the schema."""
        bound = copy.copy(self)
        bound.sources = [_bound(source, schema) for source in self.sources]
        return bound


def _bound(source: Any, schema: Schema) -> Any:
    stage = stage_of(source)
    if not hasattr(stage, "bind"):
        return source
    if stage is source:
        return stage.bind(schema)
    step = copy.copy(source)
    step.stage = stage.bind(schema)
    return step


def ask(source: Any, requests: Requests, limit: int, name: str) -> Retrieved:
    """Return a source's answer, checked against its contract."""
    retrieved: Retrieved = source.retrieve(requests, limit)
    check_retrieved(retrieved, len(requests), None, name, limit)
    return retrieved


def require_sources(sources: Sequence[Any], name: str) -> None:
    """Raise ConfigurationError unless there is at least one source and nothing else."""
    if not isinstance(sources, list | tuple) or not sources:
        raise ConfigurationError(f"found {sources!r} in {name}; expected a list of at least one source")
    for source in map(stage_of, sources):
        role = role_of(source)
        if role is not Role.SOURCE:
            raise ConfigurationError(
                f"found the {role.value} {type(source).__name__} in {name}; expected sources"
            )
