"""Training rows from impressions: one group for each list, labels from clicks, features as of the list's time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._utils.progress import progress_bar
from recokit._utils.report import Content, Report, Table
from recokit.data import Candidates, Ragged, RankingData, Requests, Schema, timestamp
from recokit.data.impressions import ImpressionLog
from recokit.errors import DataError
from recokit.protocols import Runnable
from recokit.training.two_stage import CHUNK_ROWS, assemble, require_fitted_before
from recokit.typing import FloatArray


@dataclass(frozen=True, repr=False)
class ImpressionReport(Report):
    """Counts of the impressions kept, and of those left out by reason.

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

    def _content(self) -> Content:
        left_out = ("not_shown", "unknown_items", "repeated", "filtered")
        rows = [(f"left out, {name.replace('_', ' ')}", f"{getattr(self, name):,}") for name in left_out]
        rows += [("left out, depends on today's state", name) for name in self.skipped]
        rate = self.clicks / max(self.impressions, 1)
        title = (
            f"{self.impressions:,} impressions of {self.lists:,} lists, {self.clicks:,} clicks ({rate:.2%})"
        )
        return Content(title, [Table((), rows)])


@dataclass(frozen=True, eq=False)
class ImpressionSet:
    """Labelled rows for a ranker, and the report on them."""

    data: RankingData
    report: ImpressionReport


def impression_rows(
    pipeline: Runnable,
    impressions: ImpressionLog,
    *,
    validation_from: str | float | None = None,
    chunk_rows: int = CHUNK_ROWS,
    progress: bool = False,
) -> ImpressionSet:
    """Return impressions as training rows: without a click they are negatives that users did see.

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
        chunk = Requests.build(requests.user[rows], now=now[rows], ragged=items)
        parts.append(_rows(runner.candidates(chunk), part, log, runner.schema))
    data = assemble(parts)
    if not len(data):
        raise DataError(
            f"found no impression that passes the pipeline's filters among {len(log)}; expected some"
        )
    report = ImpressionReport(
        impressions=len(data),
        lists=int(np.count_nonzero(np.diff(data.offsets))),
        clicks=int(np.count_nonzero(data.label)),
        **dropped,
        filtered=len(log) - len(data),
        skipped=live,
    )
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
