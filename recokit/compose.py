"""Composition of sources: Merge asks several and fuses what they found, FirstOf asks the next where it is short."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit._ops.fusion import Fusion, fuse_lists
from recokit._ops.membership import pairs_in_sets
from recokit._ops.packed import bits_for
from recokit._ops.segments import counts_to_offsets, offsets_to_rows
from recokit.data.candidates import Candidates, Retrieved
from recokit.data.dataset import Dataset
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError, ContractError, did_you_mean
from recokit.protocols import Role, role_of
from recokit.typing import AnyArray, IntArray

__all__ = ["FirstOf", "Merge", "check_retrieved", "fuse", "leaf_name", "leaves", "snake_case"]

_MOST_SOURCES = 64


class _Composed(Configured):
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


class Merge(_Composed):
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


class FirstOf(_Composed):
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
            raise ConfigurationError("found a Step inside FirstOf; expected sources; hint: Step(FirstOf([...]))")
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


def fuse(
    names: Sequence[str],
    retrieved: Sequence[Retrieved],
    requests: Requests,
    *,
    by: Fusion = "interleave",
    limit: int = 500,
    quotas: Mapping[str, float] | None = None,
) -> Candidates:
    """Fuse the answers of several sources into one batch of candidates.

    Parameters
    ----------
    names : sequence of str
        Names of the sources.
    retrieved : sequence of Retrieved
        Their answers, checked; :meth:`Retrieved.empty` for a source that gave none.
    requests : Requests
        The B requests.
    by, limit, quotas
        See :class:`Merge`.

    Returns
    -------
    Candidates
        In fusion order within each row, not scored, with the columns ``{name}_rank`` and ``{name}_score``.

    Raises
    ------
    ConfigurationError
        For more than 64 sources.
    DataError
        If the batch is too large to be sorted by packed keys.

    Examples
    --------
    >>> found = Retrieved.from_padded(np.array([[4, 2]]), np.array([[0.9, 0.1]]))
    >>> batch = fuse(["popular"], [found], Requests.build(np.array([0])))
    >>> batch.item.tolist(), batch.column("popular_rank").tolist()
    ([4, 2], [1.0, 2.0])
    """
    if not 0 < len(names) <= _MOST_SOURCES:
        raise ConfigurationError(f"found {len(names)} sources; expected 1 to {_MOST_SOURCES}, one bit each")
    given = dict.fromkeys(names, 1.0 / len(names)) if quotas is None else quotas
    fused = fuse_lists(
        [part.offsets for part in retrieved],
        [part.item for part in retrieved],
        [part.score for part in retrieved],
        by=by,
        limit=limit,
        shares=[given.get(name, 0.0) for name in names],
    )
    columns: dict[str, AnyArray] = {}
    for source, name in enumerate(names):
        columns[f"{name}_rank"] = fused.rank[source]
        columns[f"{name}_score"] = fused.score[source]
    unscored = np.full(len(fused.item), np.nan, np.float32)
    return Candidates(
        requests, fused.offsets, fused.row, fused.item, unscored, fused.sources, tuple(names), columns
    )


def check_retrieved(retrieved: Any, n_rows: int, n_items: int | None, name: str, limit: int) -> None:
    """Check a source's answer.

    Parameters
    ----------
    retrieved : object
        What the source returned.
    n_rows : int
        Number of requests it was asked.
    n_items : int, optional
        Number of items in the catalogue; None skips the check of the largest code.
    name : str
        Name of the source, for messages.
    limit : int
        Most items of a row.

    Raises
    ------
    ContractError
        If it is no Retrieved, an array has the wrong type or shape, offsets do not ascend from 0 to the number
        of items, a row has more than ``limit`` items or one twice, or a code is none of the catalogue's.
    """
    if not isinstance(retrieved, Retrieved):
        _broken(name, type(retrieved).__name__, "Retrieved")
    offsets, item, score = retrieved.offsets, retrieved.item, retrieved.score
    parts = {"offsets": (offsets, np.int64), "item": (item, np.int64), "score": (score, np.float32)}
    for part, (array, dtype) in parts.items():
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
            shown = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            _broken(name, f"{part} as {shown}", f"a one-dimensional array of {np.dtype(dtype)}")
    if len(offsets) != n_rows + 1:
        _broken(name, f"{len(offsets)} offsets", f"{n_rows + 1}, for {n_rows} requests")
    if len(score) != len(item):
        _broken(name, f"{len(item)} items and {len(score)} scores", "one score for each item")
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(item) or counts.min(initial=0) < 0:
        _broken(name, "offsets that do not ascend from 0 to the number of items", "CSR offsets")
    if counts.max(initial=0) > limit:
        row = int(counts.argmax())
        _broken(name, f"{counts[row]} items in row {row}", f"at most {limit}, the limit it was given")
    if not len(item):
        return
    lowest, highest = int(item.min()), int(item.max())
    if lowest < 1 or (n_items is not None and highest > n_items):
        found = lowest if lowest < 1 else highest
        _broken(
            name,
            f"item code {found}",
            f"codes from 1 to {n_items or 'the number of items'}; hint: codes of another vocabulary?",
        )
    _check_distinct(name, counts, offsets, item)


def _check_distinct(name: str, counts: IntArray, offsets: IntArray, item: IntArray) -> None:
    width = int(counts[0])
    if (counts == width).all():  # full lists, the usual case: many short sorts beat a long one
        sorted_items = np.sort(item.reshape(len(counts), width), axis=1)
        again = (sorted_items[:, 1:] == sorted_items[:, :-1]).any(axis=1)
    else:
        key = np.sort((offsets_to_rows(offsets) << bits_for(item.max())) | item)
        again = np.zeros(len(counts), np.bool_)
        again[key[1:][key[1:] == key[:-1]] >> bits_for(item.max())] = True
    if again.any():
        row = int(again.argmax())
        codes, times = np.unique(item[offsets[row] : offsets[row + 1]], return_counts=True)
        _broken(name, f"item code {codes[times.argmax()]} twice in row {row}", "distinct items")


def _broken(name: str, found: str, expected: str) -> None:
    raise ContractError(f"found {found} from {name}.retrieve; expected {expected}")


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
    if len(names) > _MOST_SOURCES:
        raise ConfigurationError(f"found {len(names)} sources; expected at most {_MOST_SOURCES}, one bit each")
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
