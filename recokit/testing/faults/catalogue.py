"""The catalogue: kinds of faults by name, each with what it means, and :func:`plant`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError, did_you_mean
from recokit.testing.faults.site import Draw, Site
from recokit.testing.faults.stages import only_for

#: Families, in the order of the funnel.
FAMILIES = (
    "data",
    "time",
    "hydration",
    "sources",
    "features",
    "ranker",
    "rules",
    "selection",
    "serving",
    "segments",
)


@dataclass(frozen=True, eq=False)
class Planted:
    """A broken pipeline, and what a debugger should say of it.

    Parameters
    ----------
    pipeline : Pipeline
        A copy; the one it was made from is as it was.
    stages : tuple of str
        Paths of the stages that may be named as the place of the fault, the likeliest first; empty text for no stage in
        particular.
    codes : tuple of str
        Causes that may be named, the best first.
    alone : bool
        Whether a run of it shows the fault without a baseline.
    kind : str
        Name of the kind.
    scope : str
        Segment that it is limited to, such as ``"device=app"``; empty for everyone.
    detail : str
        Place and magnitude, for people.
    """

    pipeline: Any
    stages: tuple[str, ...]
    codes: tuple[str, ...] = ()
    alone: bool = False
    kind: str = ""
    scope: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Parameters
    ----------
    name, family : str
    meaning : str
        What has happened, in a sentence.
    codes : tuple of str
        Causes that a debugger may name, by the meaning of the fault, the best first.
    alone : bool
        Whether a run shows it without a baseline.
    make : callable
        Plants it at a site by a draw.
    """

    name: str
    family: str
    meaning: str
    codes: tuple[str, ...]
    alone: bool
    make: Callable[[Site, Draw], Planted]


#: All kinds, by name. :mod:`recokit.testing.faults` fills it when it is imported.
CATALOGUE: dict[str, Kind] = {}


def kind(family: str, *codes: str, alone: bool = False) -> Callable[[Callable[[Site, Draw], Planted]], Any]:
    """Return a decorator that enters a function as a kind: its docstring says what it means."""

    def enter(make: Callable[[Site, Draw], Planted]) -> Callable[[Site, Draw], Planted]:
        meaning = (make.__doc__ or "").strip()
        CATALOGUE[make.__name__] = Kind(
            name=make.__name__, family=family, meaning=meaning, codes=codes, alone=alone, make=make
        )
        return make

    return enter


def plant(name: str, site: Site, seed: int) -> Planted:
    """Plant a fault of one kind.

    Parameters
    ----------
    name : str
        A name of :data:`CATALOGUE`.
    site : Site
        Where.
    seed : int
        Decides the place and the magnitude.

    Raises
    ------
    ConfigurationError
        For an unknown name, or a pipeline without anything that this fault could hit.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([candidates.ItemKNN(n_neighbors=10)]).fit(data)
    >>> planted = plant("source_dead", Site(pipeline, data), seed=1)
    >>> planted.stages, planted.codes[0]
    (('item_knn',), 'SOURCE_EMPTY')
    """
    if name not in CATALOGUE:
        raise ConfigurationError(f"found no kind of fault {name!r}; {did_you_mean(name, CATALOGUE)}")
    entry = CATALOGUE[name]
    # Of one seed, each kind has its own draw.
    made = entry.make(site, Draw(np.random.default_rng([seed, *name.encode()])))
    return replace(made, kind=name, codes=made.codes or entry.codes, alone=entry.alone)


def applicable(site: Site, names: Sequence[str] | None = None) -> list[str]:
    """Return the kinds that can be planted at a site, in the order of the catalogue."""
    return [name for name in (CATALOGUE if names is None else names) if _fits(name, site)]


def _fits(name: str, site: Site) -> bool:
    try:
        plant(name, site, 0)
    except ConfigurationError:
        return False
    return True


def broken(
    site: Site,
    name: str,
    change: Callable[[Any], Any],
    *,
    detail: str = "",
    also: Sequence[str] = (),
    codes: Sequence[str] = (),
) -> Planted:
    """Return a pipeline with one stage changed; others may be named too, where either is a fair answer."""
    pipeline = site.pipeline.replace(name, change(site.pipeline[name]))
    return Planted(pipeline, (name, *also), tuple(codes), detail=detail)


def broken_for(
    site: Site,
    name: str,
    change: Callable[[Any], Any],
    segment: tuple[str, Callable[[Any], Any]],
    *,
    codes: Sequence[str] = (),
) -> Planted:
    """Return a pipeline with one stage changed for the requests of a segment."""
    scope, hit = segment
    pipeline = site.pipeline.replace(name, only_for(site.pipeline[name], change(site.pipeline[name]), hit))
    return Planted(pipeline, (name,), tuple(codes), scope=scope)


def table() -> Mapping[str, tuple[str, str, str, str]]:
    """Return family, causes, whether a run shows it alone, and meaning of each kind, for documents."""
    return {
        entry.name: (entry.family, ", ".join(entry.codes), "yes" if entry.alone else "no", entry.meaning)
        for entry in CATALOGUE.values()
    }
