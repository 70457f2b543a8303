"""Composition of sources: Merge asks several and fuses what they found, FirstOf asks the next where it is short."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit._exclusion import first_allowed, retrieve_allowed
from recokit._fusion import MOST_SOURCES, check_retrieved, fuse
from recokit._ops.fusion import Fusion
from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import counts_to_offsets, offsets_to_rows
from recokit.data.candidates import Retrieved
from recokit.data.dataset import Dataset
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError, ContractError, did_you_mean
from recokit.protocols import Role, role_of
from recokit.typing import IntArray

__all__ = [
    "Composed",
    "FirstOf",
    "Merge",
    "check_retrieved",
    "first_allowed",
    "fuse",
    "leaf_name",
    "leaves",
    "retrieve_allowed",
    "snake_case",
]


class Composed(Configured):
    """What sources made of sources share: they learn, bind and require what their parts do."""

    sources: Sequence[Any]

    def _stages(self) -> list[Any]:
        return [_unwrapped(source) for source in self.sources]

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


class Merge(Composed):
    """Source that asks all of its sources and fuses their lists, without repeats.

    Raw scores of different sources are never compared: the order comes from ranks alone. In a pipeline every
    source's rank and score become the columns ``{name}_rank`` (1-based) and ``{name}_score``, NaN where it did
    not find the item.

    Parameters
    ----------
    sources : sequence
        Sources, in the order that breaks ties. A Merge among them is flattened: its sources take part as if they
        stood here, and the options of the outer one hold.
    by : {"interleave", "rrf", "quota"}, default "interleave"
        ``"interleave"``: by best rank, then by the order of the sources. ``"rrf"``: by the sum of
        1 / (60 + rank), reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009). ``"quota"``: each source's
        share of the limit first, then the rest, both interleaved.
    limit : int, default 500
        Most candidates of each request after fusion.
    quotas : mapping of str to float, optional
        For ``"quota"``: share of the limit by source name, in all at most 1; a source not named has none. Equal
        shares by default.
    per_source : int, optional
        Most items to ask each source for; ``limit`` by default.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, more than 64, two of one name, or an option out of range.

    Examples
    --------
    >>> from recokit.candidates import FromFunction
    >>> def liked(requests, limit):
    ...     return [[3, 1]] * len(requests)
    >>> def new(requests, limit):
    ...     return [[2, 3]] * len(requests)
    >>> merge = Merge([FromFunction(liked, name="liked"), FromFunction(new, name="new")])
    >>> merge.retrieve(Requests.build(np.array([0])), limit=10).item.tolist()
    [3, 2, 1]
    """

    def __init__(
        self,
        sources: Sequence[Any],
        *,
        by: Fusion = "interleave",
        limit: int = 500,
        quotas: Mapping[str, float] | None = None,
        per_source: int | None = None,
    ) -> None:
        if by not in ("interleave", "rrf", "quota"):
            raise ConfigurationError(f"found by={by!r}; expected 'interleave', 'rrf' or 'quota'")
        for name, value in (("limit", limit), ("per_source", per_source)):
            if value is not None and value < 1:
                raise ConfigurationError(f"found {name}={value}; expected at least 1")
        self.sources, self.by, self.limit, self.quotas, self.per_source = (
            sources,
            by,
            limit,
            quotas,
            per_source,
        )
        names = [name for name, _ in leaves(self)]
        _check_names(names)
        _check_quotas(quotas, by, names)

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Ask every source and fuse: at most ``limit`` items of each row, scores NaN.

        A source that fails is left out and noted in ``errors``; if all fail, the last error is raised.

        Raises
        ------
        ContractError
            If a source returns something that is not a list of distinct items.
        ConfigurationError
            If a source has a condition (``Step(..., when=...)``), which only a pipeline evaluates.
        """
        names, found, errors = [], [], []
        for name, source in leaves(self):
            if getattr(source, "when", None) is not None:
                raise ConfigurationError(
                    f"found a condition on {name} in a Merge used by itself; expected it in a pipeline"
                )
            asked = getattr(source, "limit", None) or self.per_source or limit
            names.append(name)
            try:
                found.append(_ask(_unwrapped(source), requests, asked, name))
            except (ContractError, ConfigurationError):
                raise
            except Exception as error:  # recall fails open: the other sources answer
                errors.append(error)
                found.append(Retrieved.empty(len(requests)))
        if len(errors) == len(names):
            raise errors[-1]
        batch = fuse(names, found, requests, by=self.by, limit=limit, quotas=self.quotas)
        inner = tuple(error for part in found for error in part.errors)
        return Retrieved(batch.offsets, batch.item, batch.score, (*errors, *inner))


class FirstOf(Composed):
    """Source that asks the next of its sources only for the requests that are still short of items.

    Parameters
    ----------
    sources : sequence
        Sources, the preferred first.
    min_items : int, default 10
        A request with fewer items goes on to the next source, whose items are appended without repeats.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, a Step, or an option out of range.

    Notes
    -----
    Scores are each source's own, and do not compare across them.

    Examples
    --------
    >>> from recokit.candidates import FromFunction
    >>> def personal(requests, limit):
    ...     return [[3] if user else [] for user in requests.user]
    >>> def popular(requests, limit):
    ...     return [[1, 3, 2]] * len(requests)
    >>> source = FirstOf([FromFunction(personal), FromFunction(popular)], min_items=2)
    >>> source.retrieve(Requests.build(np.array([1])), limit=3).item.tolist()
    [3, 1, 2]
    """

    def __init__(self, sources: Sequence[Any], *, min_items: int = 10) -> None:
        if min_items < 1:
            raise ConfigurationError(f"found min_items={min_items}; expected at least 1")
        _require_sources(sources, "FirstOf")
        if any(map(_is_step, sources)):
            raise ConfigurationError(
                "found a Step inside FirstOf; expected sources; hint: Step(FirstOf([...]))"
            )
        self.sources, self.min_items = sources, min_items

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return at most ``limit`` items of each row.

        A source that fails is skipped and noted in ``errors``; if all that were asked fail, the last error is
        raised.

        Raises
        ------
        ContractError
            If a source returns something that is not a list of distinct items.
        """
        n_rows = len(requests)
        found = Retrieved.empty(n_rows)
        short = np.arange(n_rows)
        errors: list[Exception] = []
        answered = False
        for source in self.sources:
            if answered and not len(short):
                break
            some = requests if len(short) == n_rows else requests.take(short)
            try:
                part = _ask(source, some, limit, leaf_name(source))
            except (ContractError, ConfigurationError):
                raise
            except Exception as error:  # that is what the next source is for
                errors.append(error)
                continue
            errors.extend(part.errors)
            found = _appended(found, part, short, limit) if answered else part
            answered = True
            short = np.flatnonzero(np.diff(found.offsets) < min(self.min_items, limit))
        if not answered:
            raise errors[-1]
        return Retrieved(found.offsets, found.item, found.score, tuple(errors))


def snake_case(name: str) -> str:
    """Return a class name in snake case.

    Examples
    --------
    >>> snake_case("ItemKNN"), snake_case("FirstOf")
    ('item_knn', 'first_of')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def leaf_name(source: Any) -> str:
    """Return the name of a source: the one it was given, or its class name in snake case.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> leaf_name(Popular())
    'popular'
    """
    name = getattr(source, "name", None)
    if name:
        return str(name)
    return leaf_name(source.stage) if _is_step(source) else snake_case(type(source).__name__)


def leaves(merge: Merge) -> list[tuple[str, Any]]:
    """Return the names and sources of a Merge, those of nested ones in their place.

    A source that stands in a step comes as that step.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, or a nested Merge in a step.
    """
    _require_sources(merge.sources, "Merge")
    found: list[tuple[str, Any]] = []
    for source in merge.sources:
        if isinstance(source, Merge):
            found += leaves(source)
        elif isinstance(_unwrapped(source), Merge):
            raise ConfigurationError(
                "found a Merge in a Step inside another Merge; expected it bare, since nested ones are flattened; "
                "hint: put the Step around its sources"
            )
        else:
            found.append((leaf_name(source), source))
    return found


def _is_step(source: Any) -> bool:
    # Known by its attributes: the pipeline's Step lies in a higher layer.
    return hasattr(source, "stage") and hasattr(source, "name")


def _unwrapped(source: Any) -> Any:
    return source.stage if _is_step(source) else source


def _bound(source: Any, schema: Schema) -> Any:
    stage = _unwrapped(source)
    if not hasattr(stage, "bind"):
        return source
    if stage is source:
        return stage.bind(schema)
    step = copy.copy(source)
    step.stage = stage.bind(schema)
    return step


def _ask(source: Any, requests: Requests, limit: int, name: str) -> Retrieved:
    retrieved: Retrieved = source.retrieve(requests, limit)
    check_retrieved(retrieved, len(requests), None, name, limit)
    return retrieved


def _appended(found: Retrieved, part: Retrieved, rows: IntArray, limit: int) -> Retrieved:
    """Append to each of the given rows what the part has for it, without repeats, up to the limit."""
    row, old_row = rows[offsets_to_rows(part.offsets)], offsets_to_rows(found.offsets)
    fresh = ~pairs_in_sets(row, part.item, found.offsets, found.item)
    both = np.concatenate([old_row, row[fresh]])
    order = np.argsort(both, kind="stable")
    counts = np.bincount(both, minlength=len(found.offsets) - 1)
    kept = np.minimum(counts, limit)
    order = order[np.arange(len(order)) - counts_to_offsets(counts)[both[order]] < kept[both[order]]]
    return Retrieved(
        counts_to_offsets(kept),
        np.concatenate([found.item, part.item[fresh]])[order],
        np.concatenate([found.score, part.score[fresh]])[order],
    )


def _require_sources(sources: Sequence[Any], name: str) -> None:
    if not isinstance(sources, list | tuple) or not sources:
        raise ConfigurationError(f"found {sources!r} in {name}; expected a list of at least one source")
    for source in map(_unwrapped, sources):
        role = role_of(source)
        if role is not Role.SOURCE:
            raise ConfigurationError(
                f"found the {role.value} {type(source).__name__} in {name}; expected sources"
            )


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MOST_SOURCES:
        raise ConfigurationError(f"found {len(names)} sources; expected at most {MOST_SOURCES}, one bit each")
    repeated = _first_repeated(names)
    if repeated:
        raise ConfigurationError(
            f"found two sources named {repeated!r}; expected distinct names; "
            "hint: Step(source, name='another_name')"
        )


def _first_repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _check_quotas(quotas: Mapping[str, float] | None, by: str, names: Sequence[str]) -> None:
    if quotas is None:
        return
    if by != "quota":
        raise ConfigurationError(f"found quotas with by={by!r}; expected by='quota'")
    for name, share in quotas.items():
        if name not in names:
            raise ConfigurationError(f"found a quota for {name!r}; {did_you_mean(name, names)}")
        if not 0 <= share <= 1:
            raise ConfigurationError(f"found quota {share} for {name!r}; expected a share from 0 to 1")
    if sum(quotas.values()) > 1 + 1e-9:
        raise ConfigurationError(f"found quotas that add up to {sum(quotas.values())}; expected at most 1")
