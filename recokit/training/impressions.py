"""Training rows from what was shown: one group for each list, labels from clicks, features as of the list's time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from recokit import _html
from recokit._ops.membership import locate_sorted
from recokit._progress import progress_bar
from recokit.data import Candidates, Interactions, Ragged, RankingData, Requests, Schema, timestamp
from recokit.errors import DataError
from recokit.training.two_stage import CHUNK_ROWS, assemble, require_fitted_before
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["ImpressionLog", "ImpressionReport", "ImpressionSet", "impression_rows"]


@dataclass(frozen=True, eq=False, repr=False)
class ImpressionLog:
    """M impressions: items shown in a place of a list, and what came of it.

    Parameters
    ----------
    user, item : ndarray of int64, shape (M,)
        Codes.
    timestamp : ndarray of float64, shape (M,)
        When it was shown, seconds since 1970.
    position : ndarray of int64, shape (M,)
        1-based place; 0 was not shown.
    label : ndarray of float32, shape (M,)
        0 for what was not clicked; else the gain, such as the weight of the strongest event that followed.
    group : ndarray of int64, shape (M,)
        Number of the list; all impressions of a list have the same user.
    propensity : ndarray of float64, shape (M,), optional
        Probability with which the item was shown there; NaN where unknown.

    Raises
    ------
    DataError
        If lengths differ, a place or label is negative, or a list has two users.
    """

    user: IntArray
    item: IntArray
    timestamp: FloatArray
    position: IntArray
    label: Float32Array
    group: IntArray
    propensity: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.item)
        for part in fields(self):
            column = getattr(self, part.name)
            if column is not None and column.shape != (n,):
                raise DataError(
                    f"found {part.name} of shape {column.shape}; expected ({n},), one for each item"
                )
        for name in ("position", "label"):
            bad = np.flatnonzero(~(getattr(self, name) >= 0))
            if len(bad):
                raise DataError(f"found {name} {getattr(self, name)[bad[0]]}; expected at least 0", rows=bad)
        order = np.argsort(self.group, kind="stable")
        group, user = self.group[order], self.user[order]
        bad = order[1:][(group[1:] == group[:-1]) & (user[1:] != user[:-1])]
        if len(bad):
            raise DataError(
                f"found list {self.group[bad[0]]} with two users; expected one number for each list", rows=bad
            )

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        clicks = int(np.count_nonzero(self.label))
        return f"ImpressionLog({len(self)} impressions, {len(np.unique(self.group))} lists, {clicks} clicks)"

    @property
    def clicked(self) -> BoolArray:
        """Whether anything came of it, (M,) bool."""
        return self.label > 0

    def take(self, index: IntArray | BoolArray) -> ImpressionLog:
        """Return some impressions, by position or mask."""
        columns = {part.name: getattr(self, part.name) for part in fields(self)}
        taken: dict[str, Any] = {
            name: None if column is None else column[index] for name, column in columns.items()
        }
        return replace(self, **taken)

    @classmethod
    def of(cls, shown: Any) -> ImpressionLog:
        """Build from an object with the columns of :class:`recokit.datasets.Impressions`; a session is a list."""
        return cls(
            user=np.asarray(shown.user, np.int64),
            item=np.asarray(shown.item, np.int64),
            timestamp=np.asarray(shown.timestamp, np.float64),
            position=np.asarray(shown.position, np.int64),
            label=np.asarray(shown.clicked, np.float32),
            group=np.asarray(shown.session, np.int64),
            propensity=np.asarray(shown.propensity, np.float64),
        )

    @classmethod
    def from_events(
        cls,
        log: Interactions,
        *,
        shown: str = "impression",
        group: str = "impression",
        labels: Iterable[str] | None = None,
    ) -> ImpressionLog:
        """Build from an event log that holds what was shown as events of their own.

        Parameters
        ----------
        log : Interactions
            With impression ids and positions. An impression may be a list or a place of one: items tell its places
            apart.
        shown : str, default "impression"
            Name of the events that tell that something was shown.
        group : {"impression", "session"}, default "impression"
            What makes a list: the impression id, where all its places share one, else the session.
        labels : iterable of str, optional
            Names of the events that count as clicks; by default all but ``shown``. The label is the largest weight of
            those with the same impression and item.

        Raises
        ------
        DataError
            If the log lacks impressions, positions or sessions, or has no event named ``shown``.
        """
        for name in ("impression", "position", group):
            if getattr(log, name, None) is None:
                raise DataError(f"found no {name} in the interactions; expected a column {name}")
        seen, wanted = log.of(shown), [name for name in log.event_names if name != shown]
        if not len(seen):
            raise DataError(f"found no event {shown!r}; expected one of {', '.join(log.event_names)}")
        followed = log.of(*(wanted if labels is None else labels))
        width = int(log.item.max(initial=0)) + 1
        key, later = (np.asarray(part.impression) * width + part.item for part in (seen, followed))
        # Stable: of what was recorded twice, the first record is kept.
        key, first = np.unique(key, return_index=True)
        place, found = locate_sorted(key, later)
        label = np.zeros(len(key), np.float32)
        np.maximum.at(label, place[found], followed.weight[found])
        order = np.argsort(first)
        kept = seen.take(first[order])
        return cls(
            kept.user, kept.item, kept.timestamp, np.asarray(kept.position), label[order],
            np.asarray(getattr(kept, group)), kept.propensity,
        )  # fmt: skip


class FeaturePipeline(Protocol):
    """What computes features: a fitted :class:`recokit.Pipeline`."""

    @property
    def schema(self) -> Schema:
        """Vocabularies and tables."""
        ...

    def candidates(self, requests: Requests) -> Candidates:
        """Hydrate, retrieve, filter, featurise."""
        ...

    def without(self, *names: str) -> Any:
        """Leave stages out."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yield nodes with ``name``, ``stage`` and ``live``."""
        ...


@dataclass(frozen=True)
class ImpressionReport:
    """What became of the impressions.

    Parameters
    ----------
    impressions, lists, clicks : int
        Rows, groups and positives that were kept, of training and validation.
    not_shown, unknown_items, repeated, filtered : int
        Impressions left out: in place 0; of items that the model does not know; further records of an item in its list;
        dropped by the pipeline's own filters.
    skipped : tuple of str
        Stages left out because they depend on today's state.
    """

    impressions: int
    lists: int
    clicks: int
    not_shown: int = 0
    unknown_items: int = 0
    repeated: int = 0
    filtered: int = 0
    skipped: tuple[str, ...] = ()

    def _lines(self) -> list[tuple[str, str]]:
        left_out = ("not_shown", "unknown_items", "repeated", "filtered")
        rows = [(f"left out, {name.replace('_', ' ')}", f"{getattr(self, name):,}") for name in left_out]
        return rows + [("left out, depends on today's state", name) for name in self.skipped]

    def __str__(self) -> str:
        rows = [f"  {name:<36}{value}" for name, value in self._lines()]
        return "\n".join([self._title(), *rows])

    def _repr_html_(self) -> str:
        return _html.page(self._title(), _html.table(("", ""), self._lines()))

    def _title(self) -> str:
        rate = self.clicks / max(self.impressions, 1)
        return (
            f"{self.impressions:,} impressions of {self.lists:,} lists, {self.clicks:,} clicks ({rate:.2%})"
        )


@dataclass(frozen=True, eq=False)
class ImpressionSet:
    """Labelled rows for a ranker, and the report on them."""

    data: RankingData
    report: ImpressionReport


def impression_rows(
    pipeline: FeaturePipeline,
    impressions: ImpressionLog,
    *,
    validation_from: str | float | None = None,
    chunk_rows: int = CHUNK_ROWS,
    progress: bool = False,
) -> ImpressionSet:
    """Return what was shown as training rows: what was not clicked is a negative that users did see.

    Each list becomes a request at the time of its first impression, for which the pipeline computes the features of the
    items shown, by its own sources, filters and featurizers. Give ``pipeline.with_events(dataset)`` where its
    features should know the events up to each list; they never know later ones.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted on events before the first impression. ``pipeline.prefix(name)`` leaves out a ranker that need not run.
    impressions : ImpressionLog
        In the codes of the pipeline's vocabularies. User code 0 is somebody unknown, and kept.
    validation_from : str or float, optional
        Lists from this moment on are the validation part.
    chunk_rows : int, default 256
        Lists at a time. The result does not depend on it.
    progress : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    ImpressionSet
        Groups in order of time; weights of 1. ``columns`` holds ``position``, ``propensity``, ``impression`` (the
        list's number) and ``score`` (the pipeline's own, NaN without a ranker).

    Raises
    ------
    ConfigurationError
        If a source has seen events from after the first impression.
    DataError
        If no impression is left, or all lists are on one side of ``validation_from``.
    """
    live = tuple(node.name for node in pipeline if node.live)
    runner = pipeline.without(*live) if live else pipeline
    log, dropped = _usable(impressions)
    lists, now = _lists(log)
    requests = Requests.build(log.user[lists.offsets[:-1]], now=now)
    stages = {node.name: node.stage for node in runner if not node.name.startswith("fallback.")}
    require_fitted_before(stages, requests)
    parts = []
    starts = range(0, len(requests), chunk_rows)
    for start in progress_bar(starts, show=progress, label="lists", total=len(starts)):
        rows = np.arange(start, min(start + chunk_rows, len(requests)))
        part = lists.take(rows)
        items = {"items": Ragged(part.offsets, part.values)}
        asked = Requests.build(requests.user[rows], now=now[rows], ragged=items)
        parts.append(_rows(runner.candidates(asked), part, log, runner.schema))
    data = assemble(parts)
    if not len(data):
        raise DataError(
            f"found no impression that passes the pipeline's filters among {len(log)}; expected some"
        )
    report = ImpressionReport(
        len(data), int(np.count_nonzero(np.diff(data.offsets))), int(np.count_nonzero(data.label)),
        **dropped, filtered=len(log) - len(data), skipped=live,
    )  # fmt: skip
    return ImpressionSet(_split(data, validation_from), report)


def _usable(impressions: ImpressionLog) -> tuple[ImpressionLog, dict[str, int]]:
    """Return shown, known, distinct impressions by list and place, lists by time; and how many were left out."""
    shown, known = impressions.position > 0, impressions.item > 0
    log = impressions.take(shown & known)
    _, group = np.unique(log.group, return_inverse=True)
    began = np.full(int(group.max(initial=-1)) + 1, np.inf)
    np.minimum.at(began, group, log.timestamp)
    order = np.lexsort((log.position, group, began[group]))
    log, group = log.take(order), group[order]
    pair = group * (int(log.item.max(initial=0)) + 1) + log.item
    first = np.zeros(len(log), np.bool_)
    first[np.unique(pair, return_index=True)[1]] = True
    dropped = {
        "not_shown": int(np.count_nonzero(~shown)),
        "unknown_items": int(np.count_nonzero(shown & ~known)),
        "repeated": int(np.count_nonzero(~first)),
    }
    if not first.any():
        raise DataError(f"found no impression of a known item among {len(impressions)}; expected some")
    return log.take(first), dropped


def _lists(log: ImpressionLog) -> tuple[Ragged, FloatArray]:
    """Return the items of each list, with their places in the log, and the moment of each list."""
    starts = np.flatnonzero(np.concatenate([[True], log.group[1:] != log.group[:-1]]))
    lists = Ragged(np.append(starts, len(log)), log.item, {"at": np.arange(len(log))})
    return lists, np.minimum.reduceat(log.timestamp, starts)


def _rows(batch: Candidates, lists: Ragged, log: ImpressionLog, schema: Schema) -> RankingData:
    """Return the candidates of some lists as rows, with what the log tells of them."""
    width = int(log.item.max()) + 1
    key = lists.rows * width + lists.values
    order = np.argsort(key)
    place, _ = locate_sorted(key[order], batch.row * width + batch.item)
    at = lists.columns["at"][order[place]]
    propensity = np.full(len(at), np.nan) if log.propensity is None else log.propensity[at]
    return RankingData(
        features=batch.features,
        feature_names=batch.feature_names,
        label=log.label[at],
        weight=np.ones(len(at), np.float32),
        offsets=batch.offsets,
        user=batch.user,
        item=batch.item,
        now=batch.now,
        columns={
            "position": log.position[at],
            "propensity": propensity,
            "score": batch.score,
            "impression": log.group[at],
        },
        schema=schema,
    )


def _split(data: RankingData, validation_from: str | float | None) -> RankingData:
    """Return the rows with those of the later lists as their validation part."""
    if validation_from is None:
        return data
    # Groups whose items were all filtered have no rows, and belong to neither part.
    groups = np.flatnonzero(np.diff(data.offsets) > 0)
    later = data.now[data.offsets[groups]] >= timestamp(validation_from)
    if later.all() or not later.any():
        raise DataError(
            f"found {int(later.sum())} of {len(later)} lists from validation_from={validation_from!r} on; "
            "expected some before it and some after"
        )
    return replace(data.take(groups[~later]), validation=data.take(groups[later]))
