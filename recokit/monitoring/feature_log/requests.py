"""LoggedRequests: served requests, read back from a feature log, and the training rows that they make."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments, offsets_to_rows
from recokit._utils.options import one_of, require
from recokit.data import Dataset, RankingData, seconds, timestamp
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, UInt64Array

_LOGGER = logging.getLogger("recokit")


@dataclass(frozen=True, eq=False, repr=False)
class LoggedRequests:
    """B requests as they were served, with N of their candidates, in order of time.

    Parameters
    ----------
    impression : ndarray of int64, shape (B,)
        Id of each request's list, distinct.
    now : ndarray of float64, shape (B,)
        Request time, seconds since 1970.
    user : ndarray of object, shape (B,)
        External ids, None for anonymous users.
    model : ndarray of object, shape (B,)
        Fingerprint of the pipeline that served.
    weight : ndarray of float64, shape (B,)
        Inverse of the probability that the request was recorded.
    seed : ndarray of uint64, shape (B,)
        Seeds of the requests.
    k : ndarray of int64, shape (B,)
        Length of the list that was requested.
    given : ndarray of object, shape (B,)
        Context and lists of each request, as its caller gave them: a dict with ``"context"`` (name to value) and
        ``"lists"`` (such as ``"session"``, to item ids).
    offsets : ndarray of int64, shape (B + 1,)
        Request ``b`` has the candidates ``offsets[b]:offsets[b + 1]``.
    item : ndarray of int64 or object, shape (N,)
        External ids.
    position : ndarray of int64, shape (N,)
        1-based place in the list, 0 for a candidate that was not served.
    score : ndarray of float32, shape (N,)
    sources : ndarray of uint64, shape (N,)
        Bit ``s`` is set where source ``s`` of ``source_names`` found the item.
    propensity : ndarray of float64, shape (N,)
        Probability of the item in its place, NaN where the pipeline had no column of that name.
    features : ndarray of float32, shape (N, F)
        As the ranker got them.
    source_names, feature_names : tuple of str
    n_repeated : int
        Requests that were recorded more than once, and are here once.
    """

    impression: IntArray
    now: FloatArray
    user: AnyArray
    model: AnyArray
    weight: FloatArray
    seed: UInt64Array
    k: IntArray
    given: AnyArray
    offsets: IntArray
    item: AnyArray
    position: IntArray
    score: Float32Array
    sources: UInt64Array
    propensity: FloatArray
    features: Float32Array
    source_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    n_repeated: int = field(default=0)

    def __len__(self) -> int:
        return len(self.now)

    def __repr__(self) -> str:
        return f"LoggedRequests({len(self)} requests, {len(self.item)} candidates, {len(self.feature_names)} features)"

    @property
    def row(self) -> IntArray:
        """Request of each candidate, (N,) int64."""
        return offsets_to_rows(self.offsets)

    @property
    def models(self) -> tuple[str, ...]:
        """Fingerprints of the pipelines that served, in order of their first request."""
        return tuple(dict.fromkeys(self.model.tolist()))

    def take(self, rows: IntArray) -> LoggedRequests:
        """Return the given requests, in the given order."""
        offsets, index = gather_segments(self.offsets, rows)
        by_request = {name: getattr(self, name)[rows] for name in _BY_REQUEST}
        by_candidate = {name: getattr(self, name)[index] for name in _BY_CANDIDATE}
        return replace(self, **by_request, **by_candidate, offsets=offsets)

    def candidates(self, mask: BoolArray) -> LoggedRequests:
        """Return the candidates where the mask (N,) is set; requests without any stay, with none."""
        counts = np.bincount(self.row[mask], minlength=len(self))
        return replace(
            self,
            **{name: getattr(self, name)[mask] for name in _BY_CANDIDATE},
            offsets=counts_to_offsets(counts),
        )

    @classmethod
    def concat(cls, parts: Sequence[LoggedRequests], features: Sequence[str] | None = None) -> LoggedRequests:
        """Join parts in order of time; a request recorded more than once counts once.

        Parameters
        ----------
        parts : sequence of LoggedRequests
            At least one.
        features : sequence of str, optional
            Keep these only; by default all, which must then be the same in all parts. Their order may differ.

        Raises
        ------
        DataError
            If there is no part, or a feature is not in every part.
        """
        if not parts:
            raise DataError("found no parts of a feature log; expected at least one")
        names = tuple(parts[0].feature_names if features is None else features)
        sources = tuple(dict.fromkeys(name for part in parts for name in part.source_names))
        aligned = [_aligned(part, names, sources, exact=features is None) for part in parts]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in aligned])
            for name in (*_BY_REQUEST, *_BY_CANDIDATE)
        }
        counts = np.concatenate([np.diff(part.offsets) for part in aligned])
        whole = cls(**columns, offsets=counts_to_offsets(counts), source_names=sources, feature_names=names)
        # The first record of an impression is kept; a stable order makes that independent of file names.
        order = np.lexsort((whole.impression, whole.now))
        _, first = np.unique(whole.impression[order], return_index=True)
        kept = order[np.sort(first)]
        return replace(whole.take(kept), n_repeated=len(order) - len(kept))

    def ranking_data(
        self,
        outcomes: Dataset,
        label_window: str | float = "1D",
        *,
        served_only: bool = True,
        models: Sequence[str] | None = None,
        validation_from: str | float | None = None,
        incomplete: Literal["drop", "raise"] = "drop",
    ) -> RankingData:
        """Return training rows: the features as served, labelled by what users did next.

        The label of a candidate is the largest weight of its user's events on the item from the request on and within
        the window, as in training; an event counts for the latest request that had the item. Requests of anonymous
        users are left out, as nothing can be joined to them; a user that ``outcomes`` does not know did nothing.

        Parameters
        ----------
        outcomes : Dataset
            Events up to the end of the last window.
        label_window : str or float, default "1D"
            Length of the window after each request.
        served_only : bool, default True
            Leave out candidates that were not served: nobody saw them, so their 0 is no verdict.
        models : sequence of str, optional
            Keep the requests that these fingerprints served.
        validation_from : str or float, optional
            Requests from this moment on are the validation part.
        incomplete : {"drop", "raise"}, default "drop"
            Treatment of requests whose window reaches beyond the end of ``outcomes``: their labels are not known
            yet.

        Returns
        -------
        RankingData
            One group for each request, in order of time; the weight is that of the sample. ``columns`` holds
            ``position``, ``propensity``, ``score`` and ``impression``.

        Raises
        ------
        DataError
            If no request is left, or with ``incomplete="raise"`` one has no complete window.
        ConfigurationError
            For a model that served nothing, or an unknown ``incomplete``.
        """
        window = seconds(label_window)
        usable = self._of_models(models) & np.array(
            [user is not None for user in self.user.tolist()], np.bool_
        )
        late = self.now + window > outcomes.until
        require(one_of("drop", "raise"), incomplete=incomplete)
        if incomplete == "raise" and (usable & late).any():
            raise DataError(
                f"found {int((usable & late).sum())} requests whose window of {label_window!r} ends after the outcomes "
                f"({outcomes.until:.0f}); expected events until then; hint: incomplete='drop'",
                rows=np.flatnonzero(usable & late),
            )
        kept = usable & ~late
        logged = self.take(np.flatnonzero(kept))
        if served_only:
            logged = logged.candidates(logged.position > 0)
        if not kept.all():
            _LOGGER.info(
                "feature log: %d of %d requests left out, %d of them with an incomplete label window",
                int((~kept).sum()),
                len(self),
                int((usable & late).sum()),
            )
        if not len(logged.item):
            raise DataError(
                f"found no candidates to train on in {len(self)} requests, {int(late.sum())} of them without a "
                "complete window; expected requests of known users; hint: a shorter label_window, or newer outcomes"
            )
        label = _labels(logged, outcomes, window)
        if validation_from is None:
            return _rows(logged, label, outcomes)
        held = logged.now >= timestamp(validation_from)
        if held.all() or not held.any():
            raise DataError(
                f"found {int(held.sum())} of {len(held)} requests from validation_from={validation_from!r} on; "
                "expected some before it and some after"
            )
        train, later = (
            _rows(logged.take(rows), label[gather_segments(logged.offsets, rows)[1]], outcomes)
            for rows in (np.flatnonzero(~held), np.flatnonzero(held))
        )
        return replace(train, validation=later)

    def _of_models(self, models: Sequence[str] | None) -> BoolArray:
        if models is None:
            return np.ones(len(self), np.bool_)
        for name in models:
            if name not in self.models:
                raise ConfigurationError(
                    f"found no request of model {name!r}; {did_you_mean(name, self.models)}"
                )
        return np.isin(self.model, list(models))


_BY_REQUEST = ("impression", "now", "user", "model", "weight", "seed", "k", "given")
_BY_CANDIDATE = ("item", "position", "score", "sources", "propensity", "features")


def _aligned(
    part: LoggedRequests, names: tuple[str, ...], sources: tuple[str, ...], *, exact: bool
) -> LoggedRequests:
    """Return a part with the features and source bits of the whole, by name."""
    if (part.feature_names, part.source_names) == (names, sources):
        return part
    place = {name: position for position, name in enumerate(part.feature_names)}
    missing = [name for name in names if name not in place]
    extra = [name for name in place if name not in names] if exact else []
    if missing or extra:
        difference = f"lacks {', '.join(missing[:3])}" if missing else f"has {', '.join(extra[:3])} more"
        raise DataError(
            f"found a part of the log, served by model {part.models[0]}, that {difference}; expected the same "
            f"{len(names)} features in all; hint: features=, the names that all parts have, or models="
        )
    bits = np.zeros(len(part.item), np.uint64)
    for bit, name in enumerate(part.source_names):
        bits |= ((part.sources >> np.uint64(bit)) & np.uint64(1)) << np.uint64(sources.index(name))
    picked = part.features[:, [place[name] for name in names]]
    return replace(part, features=picked, feature_names=names, sources=bits, source_names=sources)


def _rows(logged: LoggedRequests, label: Float32Array, outcomes: Dataset) -> RankingData:
    row = logged.row
    return RankingData(
        features=logged.features,
        feature_names=logged.feature_names,
        label=label,
        weight=logged.weight[row].astype(np.float32),
        offsets=logged.offsets,
        user=outcomes.user_ids.encode(logged.user)[row],
        item=outcomes.item_ids.encode(logged.item),
        now=logged.now[row],
        columns={
            "position": logged.position,
            "propensity": logged.propensity,
            "score": logged.score,
            "impression": logged.impression[row],
        },
        schema=outcomes.schema,
    )


def _labels(logged: LoggedRequests, outcomes: Dataset, window: float) -> Float32Array:
    """Return each candidate's gain, (N,) float32: the largest weight of what followed within the window."""
    log, now = outcomes.interactions, logged.now[logged.row]
    user, item = outcomes.user_ids.encode(logged.user)[logged.row], outcomes.item_ids.encode(logged.item)
    label = np.zeros(len(item), np.float32)
    events = np.flatnonzero((log.user > 0) & (log.item > 0) & log.counted)
    width = outcomes.n_items + 1
    key = np.concatenate([user * width + item, log.user[events] * width + log.item[events]])
    time = np.concatenate([now, log.timestamp[events]])
    is_event = np.arange(len(key)) >= len(item)
    order = np.lexsort((is_event, time, key))
    # Position, in this order, of the last candidate seen so far; -1 before the first.
    latest = np.maximum.accumulate(np.where(is_event[order], -1, np.arange(len(order))))
    row = order[np.maximum(latest, 0)]
    # The very first entries may be events: they are compared with themselves, and belong to nobody.
    credited = (latest >= 0) & is_event[order] & (key[row] == key[order]) & (time[order] < time[row] + window)
    followed = events[order[credited] - len(item)]
    np.maximum.at(label, row[credited], log.weight[followed])
    return label
