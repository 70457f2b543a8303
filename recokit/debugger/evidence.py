"""Evidence: one user's part of a captured run, beside the same of a healthy baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from recokit.data import Candidates, Requests, Schema
from recokit.debugger.captured import Captured, captured_rows, n_missing, ranked_batch, retrieved_batch
from recokit.debugger.recorded import Recorded
from recokit.debugger.scan import Scan
from recokit.debugger.user_log import UserLog
from recokit.protocols import Traits
from recokit.trace import StageEvent, Trace
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Items from the top that the checks look at.
TOP = 20


#: Candidates' scores that differ by less than this share of their size differ by rounding only.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Evidence:
    """One user's run, as checks read it.

    Parameters
    ----------
    captured : Captured
        The captured run, of this user alone or of many.
    row : int
        The user's row in it.
    known_good : ndarray of int64, optional
        Codes of items known to be good for the user, 0 for each that the catalogue does not have; None where none
        were given.
    schema : Schema
        Vocabularies and tables; decodes items for evidence.
    budget : float
        Seconds that a request may take.
    scan : Scan
        Figures of the scans of sources and rankers; empty before there was one.
    scale : mapping of str to float
        Standard deviation of each feature over many candidates of many users, where they are known.
    baseline : Evidence, optional
        The same user's run on a healthy pipeline.
    codes : ndarray of int64, optional
        Of a baseline with another vocabulary: the code that each of its items has in the pipeline looked at.
    recorded : Recorded, optional
        What the trace of the live request says happened, where this is that request run again.
    recall_of_others : callable, optional
        ``recall_of_others(now)``: the shares of their known-good items that other users' candidates hold.
    log : UserLog, optional
        The users' events as a log has them.
    columns_lost : mapping of str to float
        Share of the items without a value that the baseline's table has, by item column.
    """

    captured: Captured
    row: int
    known_good: IntArray | None
    schema: Schema
    budget: float
    scan: Scan = field(default_factory=Scan)
    scale: Mapping[str, float] = field(default_factory=dict)
    baseline: Evidence | None = field(default=None, repr=False)
    codes: IntArray | None = field(default=None, repr=False)
    recorded: Recorded | None = field(default=None, repr=False)
    recall_of_others: Callable[[float], FloatArray] | None = field(default=None, repr=False)
    log: UserLog | None = field(default=None, repr=False)
    columns_lost: Mapping[str, float] = field(default_factory=dict)

    # -- the run -----------------------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """The captured run, which may have other users' rows beside this one."""
        return self.captured.trace

    @property
    def stages(self) -> Mapping[str, Any]:
        """The pipeline's fitted stages, by path."""
        return self.captured.stages

    def traits(self, name: str) -> Traits:
        """Return what a stage declares of itself: nothing where there is no such stage."""
        return self.captured.traits.get(name, Traits())

    def fitted_until(self, name: str) -> float:
        """Return the time up to which a stage has learned, as it says now; minus infinity where it does not."""
        return float(getattr(self.stages.get(name), "fitted_until_", -np.inf))

    @cached_property
    def requests(self) -> Requests:
        """The user's request, hydrated."""
        return self.trace.requests.take(np.array([self.row]))

    @property
    def now(self) -> float:
        """Request time."""
        return float(self.trace.requests.now[self.row])

    @property
    def k(self) -> int:
        """List length wanted."""
        return int(self.trace.requests.k[self.row])

    @property
    def status(self) -> int:
        """:class:`recokit.trace.Status` of the user's list."""
        return int(self.trace.status[self.row])

    @property
    def alone(self) -> bool:
        """Whether the run had this user only, so that its times are those of a request."""
        return len(self.trace.requests) == 1

    def place_in(self, batch: Candidates) -> slice:
        """Return where the user's candidates are in a batch of the run."""
        return slice(int(batch.offsets[self.row]), int(batch.offsets[self.row + 1]))

    def of_row(self, batch: Candidates) -> Candidates:
        """Return the user's part of a batch of the run."""
        if batch.n_rows == 1:
            return batch
        here = self.place_in(batch)
        n = here.stop - here.start
        return Candidates(
            requests=self.requests,
            offsets=np.array([0, n]),
            row=np.zeros(n, np.int64),
            item=batch.item[here],
            score=batch.score[here],
            sources=batch.sources[here],
            source_names=batch.source_names,
            columns={name: column[here] for name, column in batch.columns.items()},
            features=batch.features[here],
            feature_names=batch.feature_names,
        )

    def events(self, *roles: str) -> list[StageEvent]:
        """Return the events of some roles, of the whole run, in order."""
        return [event for event in self.trace.events if event.role in roles]

    def failed_here(self, event: StageEvent) -> bool:
        """Whether a stage failed on this user's row."""
        return bool(event.error) and (not len(event.failed_rows) or self.row in event.failed_rows)

    @cached_property
    def place_of(self) -> dict[str, int]:
        """Place of each stage in the funnel, by path."""
        return {event.name: place for place, event in reversed(list(enumerate(self.trace.events)))}

    @cached_property
    def role_of(self) -> dict[str, str]:
        """Role of each stage that ran, by path; of the fallback, whose turn comes last, none."""
        return {
            event.name: event.role
            for event in self.trace.events
            if event.name != "fallback" and not event.name.startswith("fallback.")
        }

    @cached_property
    def selected(self) -> IntArray:
        """Codes of the list as served."""
        return captured_rows(self.trace.selected, self.row)

    @cached_property
    def cold(self) -> bool:
        """Whether the user is known to have no history at the request's time."""
        history = self.trace.requests.ragged.get("history")
        if history is None:
            return self.unknown
        return bool(history.offsets[self.row] == history.offsets[self.row + 1])

    @cached_property
    def cold_by_data(self) -> bool:
        """Whether the user has no history by the baseline or the log, which a broken hydrator has no say in."""
        if self.baseline is not None:
            return self.baseline.cold
        given = self.trace.requests.from_caller.get("history")
        if self.log is None or (given is not None and given[self.row]):
            return self.cold
        return not len(self.log.before(self.trace.requests, self.row))

    @property
    def unknown(self) -> bool:
        """Whether the model does not know the user."""
        return int(self.trace.requests.user[self.row]) == 0

    # -- candidates --------------------------------------------------------------------------------

    @cached_property
    def retrieved(self) -> Candidates | None:
        """The candidates as fused, before any rule."""
        batch = retrieved_batch(self.trace)
        return None if batch is None else self.of_row(batch)

    @property
    def retrieved_items(self) -> IntArray:
        """Their codes, in the codes of the pipeline looked at."""
        return np.zeros(0, np.int64) if self.retrieved is None else self._mapped(self.retrieved.item)

    @cached_property
    def candidate_sources(self) -> dict[str, int]:
        """Candidates by source; an item that two sources found counts for both."""
        batch = self.retrieved
        if batch is None:
            return {}
        bits = np.uint64(1) << np.arange(len(batch.source_names), dtype=np.uint64)
        return {
            name: int(np.count_nonzero(batch.sources & bit))
            for name, bit in zip(batch.source_names, bits, strict=True)
        }

    def found_by(self, source: str) -> IntArray:
        """Return the codes of the candidates of one source (leaf name), in the source's own order."""
        return self._by_source.get(source, np.zeros(0, np.int64))

    @cached_property
    def _by_source(self) -> dict[str, IntArray]:
        batch = self.retrieved
        if batch is None:
            return {}
        items = {}
        for name in batch.source_names:
            rank = batch.columns.get(f"{name}_rank")
            if rank is not None:
                known = np.flatnonzero(np.isfinite(rank))
                items[name] = self._mapped(batch.item[known[np.argsort(rank[known])]])
        return items

    def _mapped(self, item: IntArray) -> IntArray:
        return item if self.codes is None else self.codes[item]

    # -- ranking -----------------------------------------------------------------------------------

    @cached_property
    def ranked(self) -> Candidates | None:
        """The candidates as they were scored, before selection."""
        batch = ranked_batch(self.trace)
        return None if batch is None else self.of_row(batch)

    @cached_property
    def ranked_items(self) -> IntArray:
        """Codes of the ranked ones, in the codes of the pipeline looked at."""
        return np.zeros(0, np.int64) if self.ranked is None else self._mapped(self.ranked.item)

    @cached_property
    def top(self) -> IntArray:
        """Positions in ``ranked`` of the best by score; the best, not the first retrieved."""
        if self.ranked is None:
            return np.zeros(0, np.int64)
        return np.argsort(_descending(self.ranked.score), kind="stable")[:TOP]

    @cached_property
    def top_scores(self) -> FloatArray:
        """Scores of the ten best, descending, as they are (NaN included)."""
        return self.scores[self.top[:10]]

    @cached_property
    def scores(self) -> FloatArray:
        """Scores of the ``ranked`` ones by the last scorer, NaN included, where selection had to put a stand-in."""
        if self.ranked is None:
            return np.zeros(0)
        scored = [event.after for event in self.events("scorer") if event.after is not None]
        if not scored:
            return self.ranked.score.astype(np.float64)
        here = self.place_in(scored[-1])
        item, score = scored[-1].item[here], scored[-1].score[here].astype(np.float64)
        if not len(item):
            return self.ranked.score.astype(np.float64)
        if np.array_equal(item, self.ranked.item):
            return score
        order = np.argsort(item)
        return score[order[np.searchsorted(item[order], self.ranked.item)]]

    @cached_property
    def spread(self) -> float:
        """Range of the ten best scores, on the ranker's own scale; NaN without two finite scores."""
        finite = self.top_scores[np.isfinite(self.top_scores)]
        return float(finite.max() - finite.min()) if len(finite) > 1 else float("nan")

    @cached_property
    def relative_spread(self) -> float:
        """Range of the ten best as a share of the range of the upper half: the same for a ranker times any number.

        The lower half has no say, so that demoted candidates far below do not make the best look alike.
        """
        if not np.isfinite(self.spread):
            return float("nan")
        score = self.scores[np.isfinite(self.scores)]
        upper = score[score >= np.median(score)]
        whole = max(float(upper.max() - upper.min()), ROUNDING * float(np.abs(upper).max()))
        return self.spread / whole if whole > 0 else 0.0

    @cached_property
    def tied(self) -> float:
        """Share of the top 20 whose score another one of them has too."""
        return share_tied(self.scores[self.top])

    @cached_property
    def has_scorer(self) -> bool:
        """Whether anything is meant to score."""
        return bool(self.events("scorer"))

    # -- features ----------------------------------------------------------------------------------

    @cached_property
    def feature_stage(self) -> dict[str, str]:
        """Path of the stage that each feature comes from."""
        return {
            name: event.name
            for event in self.events("featurizer")
            if event.name in self.stages
            for name in self.stages[event.name].names
        }

    @cached_property
    def present(self) -> AnyArray:
        """Which features the ranked candidates have, (N, F) bool."""
        return np.zeros((0, 0), np.bool_) if self.ranked is None else np.isfinite(self.ranked.features)

    @cached_property
    def paired_features(self) -> FeaturePair | None:
        """The features of the candidates that the baseline has too; None without, or with too few of them."""
        mine, theirs = self.ranked, None if self.baseline is None else self.baseline.ranked
        if mine is None or theirs is None or self.baseline is None:
            return None
        return FeaturePair.of(mine, self.ranked_items, theirs, self.baseline.ranked_items)

    @cached_property
    def dead_features(self) -> list[str]:
        """Features without a value for any candidate."""
        if self.ranked is None or not len(self.ranked):
            return []
        there = np.any(self.present, axis=0)
        return [
            name for name, any_value in zip(self.ranked.feature_names, there, strict=True) if not any_value
        ]

    @cached_property
    def feature_coverage(self) -> dict[str, float]:
        """Share of the top items with a value, by feature; one that a new user cannot have is left out."""
        batch = self.ranked
        if batch is None or not batch.feature_names or not len(self.top):
            return {}
        covered = self.present[self.top].mean(axis=0)
        known: AnyArray = np.ones(len(covered), np.bool_)
        if (self.cold or self.unknown) and self.present.any():
            # Missing for every candidate: the user's own past or attributes. There are none, which is no fault.
            known = np.any(self.present, axis=0)
        return {name: float(covered[i]) for i, name in enumerate(batch.feature_names) if known[i]}

    @cached_property
    def feature_age(self) -> dict[str, float]:
        """Age of each feature in seconds at the request's time, where its stage knows it."""
        names = set() if self.ranked is None else set(self.ranked.feature_names)
        return {name: self.now - t for name, t in self.captured.freshness.items() if name in names}

    # -- the list ----------------------------------------------------------------------------------

    @cached_property
    def removed(self) -> dict[str, list[int]]:
        """Of the 20 best with the hard rules off: those that each rule removed, by the rule's own record."""
        rules = [
            event for event in self.events("filter") if event.before is not None and event.kept is not None
        ]
        if not any(event.n_in > event.n_out for event in rules):
            return {event.name: [] for event in rules}
        wanted = set(self.best_with_rules_off.tolist())
        removed: dict[str, list[int]] = {}
        for event in rules:
            assert event.before is not None and event.kept is not None
            here = self.place_in(event.before)
            gone = event.before.item[here][~event.kept[here]]
            removed[event.name] = sorted({*removed.get(event.name, []), *wanted.intersection(gone.tolist())})
        return removed

    @cached_property
    def best_with_rules_off(self) -> IntArray:
        """Codes of the 20 best by score, had no hard rule removed any."""
        item = [np.zeros(0, np.int64) if self.ranked is None else self.ranked.item]
        score = [np.zeros(0, np.float32) if self.ranked is None else self.ranked.score]
        if self.captured.removed is not None:
            here = self.place_in(self.captured.removed)
            item.append(self.captured.removed.item[here])
            score.append(self.captured.removed.score[here])
        items, scores = np.concatenate(item), _descending(np.concatenate(score))
        # Equal scores stand in the order of the candidates, removed ones in their own place.
        first = [] if self.retrieved is None else self.retrieved.item.tolist()
        place_of = {code: place for place, code in enumerate(first)}
        place = np.array([place_of.get(code, len(first)) for code in items.tolist()], np.int64)
        best: IntArray = items[np.lexsort((place, scores))[:TOP]]
        return best

    @cached_property
    def limited(self) -> IntArray:
        """The list that the limits alone would have given, without diversity."""
        batch = self.captured.limited
        return self.selected if batch is None else captured_rows(batch, self.row)

    @cached_property
    def best(self) -> IntArray:
        """Codes of the top k by score."""
        return np.zeros(0, np.int64) if self.ranked is None else self.ranked.item[self.top[: self.k]]

    @cached_property
    def exchanged(self) -> int:
        """Items of the top k by score that limits and diversity kept off the list."""
        return n_missing(self.best, self.selected)

    @cached_property
    def exchanged_by_limits(self) -> int:
        """Items of the top k by score that the limits alone keep off the list."""
        return n_missing(self.best, self.limited)

    @cached_property
    def exchanged_by_diversity(self) -> int:
        """Items of the list under the limits alone that diversity, or another reranker, exchanged."""
        return n_missing(self.limited, self.selected)

    @cached_property
    def kept_off_by_limits(self) -> int:
        """Items that the baseline's limits would have put on the list, of the same scores, and these do not."""
        usual = self.captured.usually_limited
        return 0 if usual is None else n_missing(captured_rows(usual, self.row), self.limited)

    @cached_property
    def kept_off_by_diversity(self) -> int:
        """Items that the baseline's diversity would have put on the list, of the same scores, and this does not."""
        usual = self.captured.usually_listed
        return 0 if usual is None else n_missing(captured_rows(usual, self.row), self.selected)

    def seconds(self, name: str = "") -> float:
        """Return the time of a stage, all its calls in the run together; by default that of the whole run."""
        if name in self.captured.seconds:
            return self.captured.seconds[name]
        if not name:
            return self.trace.seconds
        return float(sum(event.seconds for event in self.trace.events if event.name == name))

    def ids(self, codes: Any) -> tuple[Any, ...]:
        """Return external ids, ten at most."""
        return tuple(self.schema.item_ids.decode(np.asarray(codes, np.int64)[:10]).tolist())


def share_tied(score: AnyArray) -> float:
    """Return the share of the finite scores that another one equals."""
    score = score[np.isfinite(score)]
    _, counts = np.unique(score, return_counts=True)
    return float(counts[counts > 1].sum() / max(len(score), 1))


def _descending(score: AnyArray) -> AnyArray:
    return np.where(np.isfinite(score), -score, np.inf)


#: Values of one feature that must be known on both sides for a comparison.
MIN_VALUES = 5


#: Candidates that are compared: the first retrieved of both.
MAX_PAIRED = 200


@dataclass(frozen=True, eq=False)
class FeaturePair:
    """The same features of the same candidates, here and in the baseline: which are known, and where they differ."""

    names: tuple[str, ...]
    here: FloatArray
    usual: FloatArray
    there: BoolArray
    there_usual: BoolArray
    both: BoolArray
    changed: BoolArray

    @classmethod
    def of(
        cls, mine: Candidates, items: IntArray, theirs: Candidates, usual_items: IntArray
    ) -> FeaturePair | None:
        """Match the candidates of two runs by item; None where they have too little in common."""
        names = tuple(name for name in mine.feature_names if name in theirs.feature_names)
        _, at, other = np.intersect1d(items, usual_items, assume_unique=True, return_indices=True)
        if not names or len(at) < MIN_VALUES:
            return None
        here: AnyArray = mine.features
        usual: AnyArray = theirs.features
        if names != mine.feature_names or names != theirs.feature_names:
            here = here[:, [mine.feature_names.index(name) for name in names]]
            usual = usual[:, [theirs.feature_names.index(name) for name in names]]
        here, usual = here[at[:MAX_PAIRED]].astype(np.float64), usual[other[:MAX_PAIRED]].astype(np.float64)
        there: BoolArray = np.isfinite(here)
        there_usual: BoolArray = np.isfinite(usual)
        both: BoolArray = np.logical_and(there, there_usual)
        with np.errstate(invalid="ignore"):
            changed: BoolArray = both & (np.abs(here - usual) > 1e-4 * (np.abs(usual) + 1e-6))
        return cls(names, here, usual, there=there, there_usual=there_usual, both=both, changed=changed)
