"""Blend: several sources, one score, with weights learned on a validation part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import offsets_to_rows, rank_in_row, rows_to_offsets
from recokit._kernels.sorting import group_pairs
from recokit._utils.options import check_options, one_of, whole
from recokit._utils.params import clone
from recokit.candidates._retrieve import best_of_rows
from recokit.compose.composed import Composed, ask
from recokit.compose.fusion import first_allowed
from recokit.compose.merge import Merge, first_repeated
from recokit.compose.step import leaf_name, stage_of
from recokit.data import Dataset, Ragged, Requests, Retrieved
from recokit.data.events.user_history import UserHistory
from recokit.data.sampling import hold_out
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import Trainable
from recokit.typing import Float32Array, FloatArray, IntArray

#: Share of the newest events that weights are learned from, and users at most.
_NEWEST, _USERS = 0.1, 1_000
#: Weights tried for one source, those of the others held; the sum is 1 before.
_TRIED = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5)
_ROUNDS = 3
#: From this share of what users take again on, items of the history are wanted.
_REPEATS = 0.1
#: Softens the first places of a list against the next.
_RANK_K = 10.0


class Blend(Composed):
    """Source that adds up the weighted scores of several sources.

    Unlike a :class:`~recokit.compose.Merge`, whose order comes from ranks alone, a Blend knows how much each source is
    worth: weights are found that give the best NDCG on a validation part cut from the data of ``fit`` (the newest tenth
    of the events, or a fifth of each user's items where events have no times), and the sources are then fitted on
    everything. A source that adds nothing gets the weight 0 and is not asked.

    Parameters
    ----------
    sources : sequence of sources
    weights : sequence of float, optional
        Weight of each, at least 0; learned by default, which takes a second fit.
    by : {"score", "rank"}, default "score"
        What is added up: each source's score over that of its first item, or 10 / (10 + rank - 1).
    depth : int, default 200
        Length of the lists that are added up.
    k : int, default 10
        NDCG@k decides on the weights.
    seed : int, default 0
        Of the validation part.

    Raises
    ------
    ConfigurationError
        For no source, two of one name, weights that are not one finite number of at least 0 for each, or an option
        out of range.

    Attributes
    ----------
    weights_ : ndarray of float64
        With a sum of 1.

    Examples
    --------
    >>> from recokit.candidates import Popular, History
    >>> log = {"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)}
    >>> blend = Blend([Popular(half_life=None), History()], weights=[0.2, 0.8]).fit(Dataset.from_frame(log))
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[3]])})
    >>> blend.retrieve(requests, limit=3).item.tolist()
    [3, 1, 2]
    """

    def __init__(
        self,
        sources: Sequence[Any],
        *,
        weights: Sequence[float] | None = None,
        by: Literal["score", "rank"] = "score",
        depth: int = 200,
        k: int = 10,
        seed: int = 0,
    ) -> None:
        Merge(sources)
        self.sources, self.weights, self.by = sources, weights, by
        self.depth, self.k, self.seed = depth, k, seed
        check_options(self, {"by": one_of("score", "rank"), "depth": whole(1), "k": whole(1)})
        repeated = first_repeated(self._names)
        if repeated:
            raise ConfigurationError(f"found two sources named {repeated!r}; expected distinct names")
        if weights is not None:
            given = np.asarray(weights, np.float64)
            sound = given.shape == (len(sources),) and np.isfinite(given).all() and (given >= 0).all()
            if not sound or not given.any():
                raise ConfigurationError(
                    f"found weights={weights!r}; expected {len(sources)} finite numbers of at least 0, not all 0"
                )

    @property
    def _names(self) -> list[str]:
        return [leaf_name(source) for source in self.sources]

    def fit(self, dataset: Dataset) -> Blend:
        """Learn the weights if none were given, and fit every source on everything."""
        if self.weights is not None:
            weights = np.asarray(self.weights, np.float64)
        else:
            weights = self._learned(dataset) if len(self.sources) > 1 else np.ones(1)
        self.weights_ = weights / weights.sum()
        super().fit(dataset)
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items of the largest weighted sum.

        Raises
        ------
        NotFittedError
            Before ``fit``, unless weights were given and the sources need none.
        """
        weights = self.weights_ if hasattr(self, "weights_") else np.asarray(self.weights, np.float64)
        used = np.flatnonzero(weights)
        depth = max(self.depth, limit)
        lists = [ask(self._stages()[i], requests, depth, self._names[i]) for i in used]
        values = _Values.of(lists, self.by, len(requests))
        total = values.of_pair @ weights[used]
        found = Retrieved(values.offsets, values.item, total.astype(np.float32))
        n_codes = 1 + int(values.item.max(initial=0))
        allowed = first_allowed(found, requests, max(len(found.item), 1))
        return best_of_rows(allowed.offsets, allowed.score, allowed.item, limit, n_codes=n_codes)

    def _learned(self, dataset: Dataset) -> FloatArray:
        """Return the weights that order a validation part best; equal ones where there is none."""
        equal = np.ones(len(self.sources))
        try:
            train, held = _parts(dataset, self.seed)
        except DataError:
            return equal
        asked = _asked(train, held, self.seed)
        if asked is None:
            return equal
        requests, truth = asked
        sources = [clone(stage_of(source)) for source in self.sources]
        for source in sources:
            if isinstance(source, Trainable):
                source.fit(train)
        lists = [
            ask(source, requests, self.depth, name) for source, name in zip(sources, self._names, strict=True)
        ]
        return _Values.of(lists, self.by, len(requests)).best_weights(truth, self.k)


def _parts(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return what weights are learned on: sources' data, and what followed."""
    log = dataset.interactions
    time = log.timestamp
    if len(time) and time[0] < time[-1]:
        cut = float(np.quantile(time, 1.0 - _NEWEST))
        if time[0] < cut:
            return dataset.before(cut), dataset.with_interactions(log.between(cut, np.inf))
    return hold_out(dataset, 0.2, seed=seed)


def _asked(train: Dataset, held: Dataset, seed: int) -> tuple[Requests, Ragged] | None:
    """Return requests of some users with something to be told, and that; without their own items unless they repeat."""
    log = held.interactions.signals
    kept = np.flatnonzero((log.user > 0) & (log.item > 0) & (log.weight > 0))
    width = held.n_items + 1
    pair = np.unique(log.user[kept] * width + log.item[kept])
    before = train.interactions
    seen = np.isin(pair, before.user * width + before.item)
    repeats = seen.mean() >= _REPEATS if len(pair) else False
    pair = pair if repeats else pair[~seen]
    users = np.unique(pair // width)
    if not len(users):
        return None
    draw = uniform(np.full(len(users), seed, np.uint64), users, stream=23)
    users = np.sort(users[np.argsort(draw, kind="stable")[:_USERS]])
    now = train.cut if train.cut is not None else float(np.nextafter(train.until, np.inf))
    requests = Requests.build(users, now=now)
    hydrated = UserHistory().fit(train).hydrate(requests)
    requests = requests.hydrated(hydrated.columns, hydrated.ragged)
    if not repeats:
        history = requests.lists("history")
        requests = requests.hydrated({}, {"exclude": Ragged(history.offsets, history.values)})
    pair = pair[np.isin(pair // width, users)]
    row = np.searchsorted(users, pair // width)
    return requests, Ragged(rows_to_offsets(row, len(users)), pair % width)


@dataclass(frozen=True, eq=False)
class _Values:
    """What S sources give the P items that any of them found for each of B rows."""

    offsets: IntArray
    item: IntArray
    of_pair: FloatArray

    @classmethod
    def of(cls, lists: Sequence[Retrieved], by: str, n_rows: int) -> _Values:
        row = np.concatenate([offsets_to_rows(one.offsets) for one in lists])
        item = np.concatenate([one.item for one in lists])
        value = np.concatenate([_by_rank(one) if by == "rank" else _by_score(one) for one in lists])
        source = np.repeat(np.arange(len(lists)), [len(one.item) for one in lists])
        order = np.argsort(row, kind="stable")
        pairs = group_pairs(rows_to_offsets(row[order], n_rows), item[order])
        matrix = np.zeros((len(pairs.starts), len(lists)))
        for place in range(len(lists)):
            matrix[:, place] = pairs.sum(np.where(source[order] == place, value[order], 0.0))
        return cls(pairs.offsets, item[order][pairs.first], matrix)

    def best_weights(self, truth: Ragged, k: int) -> FloatArray:
        """Return the weights found by moving one at a time, from the best single source on."""
        hit = pairs_in_sets(offsets_to_rows(self.offsets), self.item, truth.offsets, truth.values)
        ideal = np.cumsum(1 / np.log2(np.arange(k) + 2))[np.minimum(truth.counts, k) - 1]

        def ndcg(weights: FloatArray) -> float:
            score = (self.of_pair @ weights).astype(np.float32)
            found = best_of_rows(self.offsets, score, np.arange(len(score)), k, n_codes=len(score) + 1)
            row = offsets_to_rows(found.offsets)
            gain = hit[found.item] / np.log2(rank_in_row(row, found.offsets) + 2)
            return float((np.bincount(row, gain, len(ideal)) / ideal).mean())

        single = np.eye(self.of_pair.shape[1])
        best: FloatArray = single[int(np.argmax([ndcg(one) for one in single]))]
        value = ndcg(best)
        for _ in range(_ROUNDS):
            before = value
            for place in range(len(best)):
                for weight in _TRIED:
                    moved = best.copy()
                    moved[place] = weight
                    if moved.any() and (tried := ndcg(moved)) > value:
                        best, value = np.asarray(moved / moved.sum()), tried
            if value <= before:
                break
        return best


def _by_score(lists: Retrieved) -> Float32Array:
    """Return each item's score over that of the first of its row; by rank where scores tell nothing."""
    row = offsets_to_rows(lists.offsets)
    first = lists.score[lists.offsets[:-1][row]] if len(row) else lists.score
    sound = np.isfinite(first) & (first > 0) & np.isfinite(lists.score)
    return np.where(sound, lists.score / np.where(sound, first, 1.0), _by_rank(lists)).astype(np.float32)


def _by_rank(lists: Retrieved) -> Float32Array:
    place = rank_in_row(offsets_to_rows(lists.offsets), lists.offsets)
    return (_RANK_K / (_RANK_K + place)).astype(np.float32)
