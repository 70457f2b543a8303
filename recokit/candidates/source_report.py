"""report: recall of each source, alone and beyond the others, and the part of the catalogue that it draws on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._kernels.membership import locate_sorted
from recokit._kernels.ranking_metrics import distinct_truth
from recokit._kernels.segments import offsets_to_rows, segment_sum
from recokit._utils.frames_out import Recorded
from recokit._utils.options import optional, require, whole
from recokit._utils.progress import progress_bar
from recokit._utils.report import Content, Report, Table, json_number
from recokit.compose.fusion import check_retrieved, fuse
from recokit.compose.merge import Merge, leaves
from recokit.compose.step import Step, stage_of
from recokit.data import Categorical, Dataset, Ragged, Requests, Retrieved, segments_by, timestamp
from recokit.data.events.user_history import UserHistory
from recokit.data.sampling import Positives
from recokit.errors import ConfigurationError, DataError, VocabularyMismatch, did_you_mean
from recokit.protocols import Role, bound, role_of, traits_of
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: The segment of all users.
ALL = "all"
#: The rows of all sources together, and of the lists that a Merge fuses of theirs.
TOGETHER, FUSED = "together", "fused"
#: Share of the catalogue, the most popular items, that counts as its head.
HEAD = 0.2

By: TypeAlias = "str | Categorical | AnyArray | Mapping[Any, Any] | None"


def report(
    sources: Merge | Mapping[str, Any],
    train: Dataset,
    test: Dataset,
    *,
    k: Sequence[int] = (50, 500),
    by: By = "activity",
    now: str | float | None = None,
    max_users: int | None = None,
    chunk_size: int = 512,
    seed: int = 0,
    progress: bool = False,
) -> SourceReport:
    """Compare fitted sources on the items that users went on to take.

    Every user of the test part with a relevant item makes one request, with the history that train has of them strictly
    before ``now``. Users are streamed in chunks, so memory does not grow with their number.

    Parameters
    ----------
    sources : Merge or mapping of str to source
        Fitted on ``train``. The sources of a Merge get the limits that they have in it.
    train : Dataset
        The data that they learned from; histories, segments and popularity are its.
    test : Dataset
        Relevant are each user's items with a weight above 0.
    k : sequence of int, default (50, 500)
        Depths.
    by : str, Categorical, ndarray or mapping, optional
        Segments of users by their activity in train, or as :func:`recokit.data.segments_by` takes them; None for no
        segments.
    now : str or float, optional
        Request time; by default the cut of train, else just after its last event.
    max_users : int, optional
        Report on a sample of so many users.
    chunk_size : int, default 512
        Users at a time.
    seed : int, default 0
        Of the requests, for stochastic sources, and of the sample.
    progress : bool, default False
        Show a bar.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, a source fitted on events after ``now``, or an impossible option.
    ContractError
        If a source returns something that is not a list of distinct items.
    DataError
        If no user has a relevant item.
    VocabularyMismatch
        If train and test have other ids.

    Examples
    --------
    >>> from recokit.candidates import ItemKNN, Popular
    >>> log = {"user": [1, 1, 2, 2, 1], "item": [1, 2, 1, 3, 3], "timestamp": [1, 2, 3, 4, 9]}
    >>> train, test = Dataset.from_frame(log).split_at(5)
    >>> sources = {"popular": Popular().fit(train), "item_knn": ItemKNN().fit(train)}
    >>> found = report(sources, train, test, k=[1, 3], by=None)
    >>> found["popular"].recall[3], found["item_knn"].only[1]
    (1.0, 0.0)
    """
    depths = tuple(sorted({int(depth) for depth in k}))
    if not depths:
        raise ConfigurationError("found k=(); expected depths of at least 1")
    require(whole(1), k=depths[0], chunk_size=chunk_size)
    require(optional(whole(1)), max_users=max_users)
    parts = _parts(sources, train, depths[-1])
    moment = _request_time(now, train)
    _check_leak(parts, moment)
    users, truth = _truth(train, test, max_users, seed)
    segments = None if by is None else segments_by(train, by)
    names = (ALL,) if segments is None else (ALL, *(str(label) for label in segments.labels.ids.tolist()))
    segment = np.zeros(len(users), np.int64) if segments is None else segments.codes[users]
    merge = sources if isinstance(sources, Merge) else None
    sums = _Sums(parts, depths, train, (segment, len(names)), merge)
    history = UserHistory().fit(train)
    starts = range(0, len(users), chunk_size)
    for start in progress_bar(starts, show=progress, label="candidates", total=len(starts)):
        rows = np.arange(start, min(start + chunk_size, len(users)))
        requests = Requests.build(users[rows], k=depths[-1], now=moment, seed=seed)
        hydrated = history.hydrate(requests)
        sums.add(rows, requests.hydrated(hydrated.columns, hydrated.ragged), truth.take(rows))
    return sums.report(names, moment)


@dataclass(frozen=True, eq=False)
class _Part:
    """One of the sources: its name, and how many items it is to find."""

    name: str
    source: Any
    limit: int

    def retrieve(self, requests: Requests, n_items: int) -> Retrieved:
        """Return its answer, checked against the contract."""
        found: Retrieved = self.source.retrieve(requests, self.limit)
        check_retrieved(found, len(requests), n_items, self.name, limit=self.limit)
        return found


@dataclass(frozen=True, eq=False)
class _Lists:
    """The items of a chunk's lists in ascending order: keys of row and item, and where each stands."""

    offsets: IntArray
    key: IntArray
    order: IntArray

    @classmethod
    def of(cls, offsets: IntArray, item: IntArray, width: int) -> _Lists:
        key = offsets_to_rows(offsets) * width + item
        order = np.argsort(key)
        return cls(offsets, key[order], order)

    @classmethod
    def union(cls, lists: Sequence[_Lists], n_rows: int, width: int) -> _Lists:
        """Join the lists of each row, without repeats; the order is that of the items."""
        key = np.sort(np.concatenate([part.key for part in lists]), kind="stable")  # merges sorted runs
        key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
        return cls(np.searchsorted(key, np.arange(n_rows + 1) * width), key, np.arange(len(key)))

    def rank(self, truth: Ragged, width: int) -> FloatArray:
        """Return the 1-based rank of each relevant item in its row's list, ``inf`` where the list lacks it."""
        position, found = locate_sorted(self.key, truth.rows * width + truth.values)
        rank = np.full(len(found), np.inf)
        rank[found] = (self.order[position] - self.offsets[truth.rows] + 1)[found] if len(self.key) else 0
        return rank


class _Sums:
    """Sums over users, chunk by chunk: of S sources, and of one or two more lists made of theirs."""

    def __init__(
        self,
        parts: Sequence[_Part],
        depths: tuple[int, ...],
        train: Dataset,
        segments: tuple[IntArray, int],
        merge: Merge | None,
    ) -> None:
        self._parts, self._depths, self._merge = parts, depths, merge
        self._segment, n_segments = segments
        self._names = [part.name for part in parts] + [TOGETHER] + ([FUSED] if merge is not None else [])
        self._width = train.n_items + 1
        n, n_sources = len(self._names), len(parts)
        self._recall = np.zeros((n, len(depths), n_segments))
        self._only = np.full(self._recall.shape, np.nan)
        self._only[:n_sources] = 0.0
        self._length, self._answered = np.zeros((2, n, n_segments))
        self._shared, self._either = np.zeros((2, n_sources, n_sources))
        self._seen = np.zeros((n, self._width), np.bool_)
        self._popular, self._head = np.zeros((2, n))
        self._users = np.bincount(self._segment, minlength=n_segments)
        self._popularity, self._is_head = _popularity(train)

    def add(self, rows: IntArray, requests: Requests, truth: Ragged) -> None:
        """Add the lists of all sources for a chunk of users."""
        answers = [part.retrieve(requests, self._width - 1) for part in self._parts]
        lists = [_Lists.of(part.offsets, part.item, self._width) for part in answers]
        self._add_overlap(lists, len(rows))
        ranks = [part.rank(truth, self._width) for part in lists]
        lists.append(_Lists.union(lists, len(rows), self._width))
        if self._merge is not None:
            merge, depth = self._merge, self._depths[-1]
            names = [part.name for part in self._parts]
            fused = fuse(names, answers, requests, by=merge.by, limit=depth, quotas=merge.quotas)
            lists.append(_Lists.of(fused.offsets, fused.item, self._width))
            ranks.append(lists[-1].rank(truth, self._width))
        segment, n_segments = self._segment[rows], len(self._users)
        self._add_hits(np.stack(ranks), truth, segment)
        for place, part in enumerate(lists):
            counts, item = np.diff(part.offsets), part.key % self._width
            self._length[place] += segment_sum(counts, segment, n_segments)
            self._answered[place] += segment_sum(counts > 0, segment, n_segments)
            self._seen[place, item] = True
            self._popular[place] += self._popularity[item].sum()
            self._head[place] += self._is_head[item].sum()

    def _add_hits(self, rank: FloatArray, truth: Ragged, segment: IntArray) -> None:
        """Count the relevant items within each depth: of each list, of it alone, and of any."""
        n = len(self._parts)
        of_segment = segment[truth.rows]
        share = 1.0 / truth.counts[truth.rows]
        for place, depth in enumerate(self._depths):
            within = rank <= depth
            finders = within[:n].sum(axis=0)
            parts = [*within[:n], finders > 0, *within[n:]]
            for which, hit in enumerate(parts):
                self._recall[which, place] += segment_sum(share * hit, of_segment, len(self._users))
            for which in range(n):
                alone = within[which] & (finders == 1)
                self._only[which, place] += segment_sum(share * alone, of_segment, len(self._users))

    def _add_overlap(self, lists: Sequence[_Lists], n_rows: int) -> None:
        for a, b in combinations_with_replacement(range(len(lists)), 2):
            first, second = lists[a], lists[b]
            common = first.key[locate_sorted(second.key, first.key)[1]]
            both = np.bincount(common // self._width, minlength=n_rows)
            either = np.diff(first.offsets) + np.diff(second.offsets) - both
            some = either > 0
            # One assignment for both cells; on the diagonal they are the same one.
            self._shared[[a, b], [b, a]] += (both[some] / either[some]).sum()
            self._either[[a, b], [b, a]] += np.count_nonzero(some)

    def report(self, segments: tuple[str, ...], now: float) -> SourceReport:
        """Return the means."""
        n_users = np.array([self._users.sum(), *self._users[1:]])
        figures = []
        for place, name in enumerate(self._names):
            recall, only, length, answered = (
                _means(part[place], n_users)
                for part in (self._recall, self._only, self._length, self._answered)
            )
            figures += [
                SourceFigures(
                    source=name,
                    segment=segment,
                    n_users=int(n_users[code]),
                    recall=dict(zip(self._depths, recall[:, code].tolist(), strict=True)),
                    only=dict(zip(self._depths, only[:, code].tolist(), strict=True)),
                    candidates=float(length[code]),
                    answered=float(answered[code]),
                )
                for code, segment in enumerate(segments)
            ]
        total = np.maximum(self._length.sum(axis=1), 1.0)
        coverage = self._seen[:, 1:].sum(axis=1) / max(self._width - 1, 1)
        covered, popular, head = (
            dict(zip(self._names, values.tolist(), strict=True))
            for values in (coverage, self._popular / total, self._head / total)
        )
        with np.errstate(invalid="ignore"):
            overlap = self._shared / self._either
        return SourceReport(
            k=self._depths,
            sources=tuple(part.name for part in self._parts),
            segments=segments,
            figures=tuple(figures),
            overlap=overlap,
            coverage=covered,
            popularity=popular,
            head_share=head,
            now=now,
        )


def _means(sums: FloatArray, n_users: IntArray) -> FloatArray:
    """Divide sums (..., n_segments), where segment 0 holds users of none, by users; all users come first."""
    totals = sums.copy()
    totals[..., 0] = sums.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(totals / n_users)


def _parts(sources: Merge | Mapping[str, Any], train: Dataset, deepest: int) -> list[_Part]:
    if isinstance(sources, Merge):
        named, per_source = leaves(sources), sources.per_source
    elif isinstance(sources, Mapping) and sources:
        named, per_source = list(sources.items()), None
    else:
        raise ConfigurationError(f"found {sources!r}; expected a Merge, or a mapping of names to sources")
    parts = []
    for name, source in named:
        stage = stage_of(source)
        if role_of(stage) is not Role.SOURCE or name in (TOGETHER, FUSED):
            raise ConfigurationError(f"found {stage!r} named {name!r}; expected a source, and another name")
        step = source if isinstance(source, Step) else Step(stage)
        if step.when is not None:
            raise ConfigurationError(f"found a condition on {name}; expected sources that answer every row")
        limit = min(step.limit or per_source or deepest, deepest)
        parts.append(_Part(name, bound(stage, train.schema), limit))
    return parts


def _request_time(now: str | float | None, train: Dataset) -> float:
    if now is not None:
        return timestamp(now)
    if train.cut is not None:
        return train.cut
    return float(np.nextafter(train.until, np.inf)) if len(train.interactions) else 0.0


def _check_leak(parts: Sequence[_Part], now: float) -> None:
    for part in parts:
        traits = traits_of(part.source)
        if traits.fitted_until > now and not traits.as_of:
            raise ConfigurationError(
                f"found {part.name} fitted on events until {traits.fitted_until:.0f} and requests at {now:.0f}; "
                "expected sources that have not seen the test part; hint: fit them on train"
            )


def _truth(train: Dataset, test: Dataset, max_users: int | None, seed: int) -> tuple[IntArray, Ragged]:
    """Return the users with a relevant item, and these items."""
    if train.item_ids != test.item_ids or train.user_ids != test.user_ids:
        raise VocabularyMismatch(
            "found other ids in train than in test; expected two parts of one data set; hint: Dataset.split_at"
        )
    log = test.interactions
    offsets, order = log.by_user
    offsets, item, _ = distinct_truth(offsets, log.item[order], log.weight[order])
    users = np.flatnonzero(np.diff(offsets) > 0)
    users = users[users > 0]
    if not len(users):
        raise DataError("found no user with a relevant item in the test part; expected at least one")
    if max_users is not None and len(users) > max_users:
        draw = uniform(np.full(len(users), seed, np.uint64), users, stream=23)
        users = np.sort(users[np.argsort(draw, kind="stable")[:max_users]])
    return users, Ragged(offsets, item).take(users)


def _popularity(train: Dataset) -> tuple[FloatArray, BoolArray]:
    """Return by item code the share of users that took it, and whether it is of the catalogue's head."""
    taken = Positives.of(train)
    counts = taken.counts
    head = np.zeros(len(counts), np.bool_)
    ranked = np.argsort(-counts[1:], kind="stable") + 1
    head[ranked[: round(HEAD * train.n_items)]] = True
    return counts / max(int(np.count_nonzero(np.diff(taken.offsets))), 1), head


@dataclass(frozen=True)
class SourceFigures:
    """One source for one segment of users; means are over users.

    Parameters
    ----------
    source, segment : str
        Of whom; ``"together"`` are all sources, each with its first k, ``"fused"`` the lists of a Merge of them.
    n_users : int
        Users with a relevant item.
    recall : mapping of int to float
        Share of a user's relevant items among the first k, by k.
    only : mapping of int to float
        The part of it that no other source finds among its own first k: lost without this one. NaN for
        ``"together"`` and ``"fused"``.
    candidates : float
        Length of its lists, up to the largest k.
    answered : float
        Share of users that got any.
    """

    source: str
    segment: str
    n_users: int
    recall: Mapping[int, float]
    only: Mapping[int, float]
    candidates: float
    answered: float


@dataclass(frozen=True, eq=False, repr=False)
class SourceReport(Recorded, Report):
    """Figures of several sources, for all users and by segment.

    Parameters
    ----------
    k : tuple of int
        Depths, ascending.
    sources : tuple of str
        Names of the S sources.
    segments : tuple of str
        ``"all"`` and the names of the segments.
    figures : tuple of SourceFigures
        One for each source and segment, then for ``"together"``, and ``"fused"`` for a Merge.
    overlap : ndarray of float64, shape (S, S)
        Jaccard similarity of two sources' lists up to the largest k: mean over the users with a candidate from either.
    coverage : mapping of str to float
        Share of the catalogue in anybody's list.
    popularity : mapping of str to float
        Share of train users that took a candidate, mean over candidates.
    head_share : mapping of str to float
        Share of candidates from the fifth of the catalogue that most users took.
    now : float
        Request time, as of which the histories are.
    """

    k: tuple[int, ...]
    sources: tuple[str, ...]
    segments: tuple[str, ...]
    figures: tuple[SourceFigures, ...]
    overlap: FloatArray
    coverage: Mapping[str, float]
    popularity: Mapping[str, float]
    head_share: Mapping[str, float]
    now: float

    def __getitem__(self, key: str | tuple[str, str]) -> SourceFigures:
        """Return the figures of a source, or of a source and a segment.

        Raises
        ------
        ConfigurationError
            If there are none of this name.
        """
        source, segment = (key, ALL) if isinstance(key, str) else key
        names = list(dict.fromkeys(figures.source for figures in self.figures))
        for what, name, known in (("source", source, names), ("segment", segment, self.segments)):
            if name not in known:
                raise ConfigurationError(f"found no {what} {name!r}; {did_you_mean(name, known)}")
        return next(part for part in self.figures if (part.source, part.segment) == (source, segment))

    def plot(self, k: int | None = None, ax: Any = None) -> Any:
        """Draw the recall of each source, and in a stronger colour what it alone finds; all of them last.

        Parameters
        ----------
        k : int, optional
            Depth; the largest by default.
        ax : matplotlib Axes, optional
            A new figure by default.

        Raises
        ------
        ConfigurationError
            If the report has no such depth; without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.bars import draw_bars
        from recokit._utils.plots.style import title

        k = self.k[-1] if k is None else k
        if k not in self.k:
            raise ConfigurationError(f"found k={k}; expected one of {', '.join(map(str, self.k))}")
        names = list(dict.fromkeys(part.source for part in self.figures))
        recall = [self[name].recall[k] for name in names]
        only = [np.nan_to_num(self[name].only[k]) if name in self.sources else 0.0 for name in names]
        labels = [
            f"{value:.3f}" + (f", alone {alone:.3f}" if name in self.sources else "")
            for name, value, alone in zip(names, recall, only, strict=True)
        ]
        ax = draw_bars(names, recall, ax, inner=only, labels=labels)
        title(ax, f"Recall@{k} by source; dark: what no other source finds")
        return ax

    def to_records(self) -> list[dict[str, Any]]:
        """Return one record for each source and segment; an undefined figure is None."""
        return [
            {
                "source": part.source,
                "segment": part.segment,
                "users": part.n_users,
                **{f"recall@{k}": json_number(part.recall[k]) for k in self.k},
                **{f"only@{k}": json_number(part.only[k]) for k in self.k},
                "candidates": json_number(part.candidates),
                "answered": json_number(part.answered),
                **{
                    name: values[part.source] if part.segment == ALL else None
                    for name, values in self._catalogue.items()
                },
            }
            for part in self.figures
        ]

    @property
    def _catalogue(self) -> dict[str, Mapping[str, float]]:
        return {"coverage": self.coverage, "popularity": self.popularity, "head_share": self.head_share}

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "k": list(self.k),
            "sources": list(self.sources),
            "segments": list(self.segments),
            "now": self.now,
            "figures": self.to_records(),
            "overlap": [[json_number(value) for value in row] for row in self.overlap.tolist()],
        }

    def _header(self) -> list[str]:
        depths = [f"{what}@{k}" for what in ("recall", "only") for k in self.k]
        return ["source", "segment", "users", *depths, "candidates", "answered", *self._catalogue]

    def _rows(self) -> list[list[str]]:
        return [
            [
                str(record["source"]),
                str(record["segment"]),
                f"{record['users']:,}",
                *(_number(record[name], 4) for name in self._header()[3:-5]),
                _number(record["candidates"], 1),
                *(_number(record[name], 3) for name in self._header()[-4:]),
            ]
            for record in self.to_records()
        ]

    def _overlap_rows(self) -> list[list[str]]:
        return [
            [name, *(_number(value, 3) for value in row)]
            for name, row in zip(self.sources, self.overlap.tolist(), strict=True)
        ]

    def _content(self) -> Content:
        tables = [Table(self._header(), self._rows())]
        if len(self.sources) > 1:
            tables.append(Table(["overlap", *self.sources], self._overlap_rows()))
        note = (
            f"recall: share of a user's relevant items among the first k; only: what no other source has there; "
            f"overlap: Jaccard of the lists up to {self.k[-1]}; head_share: candidates from the most popular "
            f"{HEAD:.0%} of the catalogue"
        )
        return Content(f"Candidates of {len(self.sources)} sources", tables, notes=[note])

    __repr__ = Report.__str__


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"
