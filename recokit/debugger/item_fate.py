"""The fate of an item: where it went in a user's run, and how near the sources came to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.data import Candidates, Requests
from recokit.protocols import Role
from recokit.trace import Location, Trace


@dataclass(frozen=True, repr=False)
class Answer(Report):
    """Where one item went in one user's run.

    Parameters
    ----------
    location : Location
        Its way through the funnel.
    depths : mapping of str to int
        Where it was not retrieved: the rank that each source would have to go down to, by path; a source that
        does not have it at all is left out.
    title : str, optional
        What shows the item to people.
    """

    location: Location
    depths: Mapping[str, int] = field(default_factory=dict)
    title: str | None = None

    @property
    def fate(self) -> str:
        """``"not retrieved"``, ``"removed"``, ``"not selected"`` or ``"shown"``."""
        return self.location.fate

    @property
    def stage(self) -> str:
        """The stage that decided it."""
        return self.location.stage

    @property
    def position(self) -> int:
        """1-based place in the list, 0 if not shown."""
        return self.location.position

    @property
    def rank(self) -> int:
        """1-based rank by score, 0 if it did not get there."""
        return self.location.rank

    @property
    def sources(self) -> Mapping[str, int]:
        """Sources that found it, with their rank."""
        return self.location.sources

    @property
    def nearest(self) -> str:
        """The source in whose list it stands highest, empty if none has the item."""
        return min(self.depths, key=lambda name: self.depths[name]) if self.depths else ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "fate": self.fate,
            "stage": self.stage,
            "sources": dict(self.sources),
            "rank": self.rank,
            "position": self.position,
            "error": self.location.error,
            "depths": dict(self.depths),
            "text": str(self),
        }

    def __str__(self) -> str:
        return self._way() if self.title is None else f"{self.title}: {self._way()}"

    def _content(self) -> Content:
        found = [(name, rank or "") for name, rank in self.sources.items()]
        depths = [(name, f"{rank:,}") for name, rank in self.depths.items()]
        tables = [Table(("source", "rank"), found)] if found else []
        tables += [Table(("source", "k it would need"), depths)] if depths else []
        return Content(self.title or "An item's way", tables, str(self), good=self.fate == "shown")

    def _way(self) -> str:
        if self.fate != "not retrieved":
            return str(self.location)
        if not self.nearest:
            return "never retrieved; no source has it for this user"
        return f"never retrieved; nearest source {self.nearest} would need k={self.depths[self.nearest]:,}"


def depth_of(trace: Trace, nodes: Any, item: int, *, n_items: int, seconds: float) -> dict[str, int]:
    """Return the rank of an item in each source's whole answer; sources not reached within the time are left out.

    Ranks are those of the source after the items that it excludes. A source that fails here is left out.
    """
    requests = _hydrated(trace)
    ranks: dict[str, int] = {}
    deadline = time.perf_counter() + seconds
    for node in nodes:
        if node.role is not Role.SOURCE or node.name.startswith("fallback."):
            continue
        if time.perf_counter() > deadline:
            break
        try:
            items = node.stage.retrieve(requests, n_items).item
        except Exception:  # the run itself has recorded whether it fails
            continue
        place = np.flatnonzero(items == item)
        if len(place):
            ranks[node.name] = int(place[0]) + 1
    return ranks


def _hydrated(trace: Trace) -> Requests:
    """Return the requests as the sources of a captured run had them."""
    batch: Candidates | None = next((event.after for event in trace.events if event.after is not None), None)
    return trace.requests if batch is None else batch.requests
