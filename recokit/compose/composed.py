"""Composed: a source made of others, which learns, binds and requires as they do."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from recokit.compose.alone.sources import AloneSource
from recokit.compose.fusion import check_retrieved
from recokit.compose.step import Step, stage_of
from recokit.data.candidates import Retrieved
from recokit.data.dataset import Dataset
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Role, Trainable, Traits, bound, role_of, traits_of


class Composed(AloneSource):
    """Base of sources made of sources: they learn, bind and require as their parts do."""

    sources: Sequence[Any]

    def _stages(self) -> list[Any]:
        return [stage_of(source) for source in self.sources]

    def _traits(self) -> list[Traits]:
        return [traits_of(stage) for stage in self._stages()]

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the sources need."""
        return tuple(dict.fromkeys(name for traits in self._traits() for name in traits.requires))

    @property
    def io_bound(self) -> bool:
        """Whether any source waits for input and output."""
        return any(traits.io_bound for traits in self._traits())

    @property
    def live(self) -> bool:
        """Whether any source depends on today's state."""
        return any(traits.live for traits in self._traits())

    @property
    def as_of(self) -> bool:
        """Whether all sources evaluate strictly before each request's own time."""
        return all(traits.as_of for traits in self._traits())

    @property
    def passes_over(self) -> tuple[str, ...]:
        """Lists of a request whose items no source gives."""
        return in_all([traits.passes_over for traits in self._traits()])

    @property
    def needs_times(self) -> bool:
        """Whether any source learns from the order of events."""
        return any(isinstance(stage, AloneSource) and stage.needs_times for stage in self._stages())

    @property
    def fitted_until_(self) -> float:
        """Latest time that a source has learned from, ``-inf`` where none has."""
        return max(traits.fitted_until for traits in self._traits())

    def fit(self, dataset: Dataset) -> Any:
        """Fit every source that learns."""
        for stage in self._stages():
            if isinstance(stage, Trainable):
                stage.fit(dataset)
        return self

    def bind(self, schema: Schema) -> Any:
        """Return a copy with every source bound to the schema."""
        copied = copy.copy(self)
        copied.sources = [_bound_in_place(source, schema) for source in self.sources]
        return copied


def in_all(named: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the names that stand in every one of some lists."""
    return tuple(name for name in named[0] if all(name in others for others in named)) if named else ()


def _bound_in_place(source: Any, schema: Schema) -> Any:
    """Return a bound source; in a copy of its step, where it stands in one."""
    if not isinstance(source, Step):
        return bound(source, schema)
    step = copy.copy(source)
    step.stage = bound(source.stage, schema)
    return step


def ask(source: Any, requests: Requests, limit: int, name: str) -> Retrieved:
    """Return a source's answer, checked against its contract."""
    retrieved: Retrieved = source.retrieve(requests, limit)
    check_retrieved(retrieved, len(requests), None, name, limit=limit)
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
