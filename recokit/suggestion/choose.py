"""suggest: the best pipeline that was found for a dataset in the time given."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit import candidates, features, rules as rules_
from recokit._stats.intervals import mean_interval
from recokit._utils.options import above, require
from recokit._utils.params import clone
from recokit.compose.step import stage_of
from recokit.data import Dataset
from recokit.data.dataset import require_dataset
from recokit.errors import DataError, FitWarning, RecokitError
from recokit.metrics.registry import parse_all
from recokit.pipeline import Pipeline
from recokit.protocols import Role, role_of
from recokit.suggestion.apart import groups_apart, new_items_apart
from recokit.suggestion.code import program_of
from recokit.suggestion.look import Look
from recokit.suggestion.parts import Proposal, proposals, ranker
from recokit.suggestion.result import Group, Suggestion, Tried
from recokit.suggestion.trials import Judged, Validation
from recokit.typing import FloatArray

#: Sources that a blend, and candidates, are made of at most; and the length of the candidates' list.
_SOURCES, _LIMIT = 5, 200
#: Requests of each training window.
_REQUESTS = 1_000
#: Weights of the ranker beside the strongest source, whose own is 1 less that.
_SHARES = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2)
#: Users that a segment needs before it can hold the ranker back.
_SEGMENT = 200
#: Of the interval that decides for what is more complicated: a choice may be wrong more often than a claim.
_CONFIDENCE = 0.8
#: Share of the time that trials of sources may take, and seconds that training of a ranker is expected to.
_FOR_SOURCES, _FOR_RANKER = 0.4, 20.0


def suggest(
    dataset: Dataset,
    *,
    minutes: float = 10.0,
    goal: str = "NDCG@10",
    rules: Sequence[Any] = (),
    seed: int = 0,
) -> Suggestion:
    """Find a pipeline for a dataset: sources, a blend of them or a ranker, by what a validation part supports.

    The part is cut in time, a label window before the end, as long as the data's rhythm wants it; a fifth of each
    user's items where events have no times. Sources are tried in the order of their cost, then a blend of the best,
    then two stages: candidates of the sources that add recall, features, boosted trees whose size
    follows the number of positives, blended with the strongest source so that no segment of 200 users loses by it.
    What is more complicated is kept only where the 80% interval of its paired difference is above 0. The winner
    is fitted on everything.

    Parameters
    ----------
    dataset : Dataset
        The training data: a test part must not be in it.
    minutes : float, default 10
        Time for trials, the last fit not counted. What is tried follows from this and the size of the data, so the same
        call gives the same answer; a clock only ends what takes longer than was expected, and the notes say so.
    goal : str, default "NDCG@10"
        Metric that decides.
    rules : sequence of stages, optional
        Filters, limits, objectives and annotators that hold for every list. ``rules.NotSeen`` is added where users
        rarely take what they had and no rule of yours is about it.
    seed : int, default 0
        Of the users that are judged, of training samples and of requests.

    Returns
    -------
    Suggestion
        With the fitted ``pipeline``, the ``code`` that builds it, and a report of what was tried.

    Raises
    ------
    DataError
        If the data has no items.
    ConfigurationError
        For a metric that is none, or minutes that are not above 0.

    Examples
    --------
    >>> from recokit import testing
    >>> found = suggest(testing.toy_dataset(), minutes=0.1)
    >>> len(found.pipeline.recommend(["user-1"], k=3, now=2e9).ids(0))
    3
    """
    require_dataset(dataset, "dataset")
    require(above(0), minutes=minutes)
    parse_all([goal])
    if not dataset.n_items:
        raise DataError("found a dataset without items; expected at least one to recommend")
    started = time.perf_counter()
    look = Look.at(dataset)
    stages = _Rules.of(rules, look)
    validation = Validation.of(dataset, look, goal, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # a source that collapsed loses its trial
        if validation is None:
            choice = _by_rule(look, stages)
        else:
            choice = _Search(look, validation, stages, 60.0 * minutes, started).choice()
    fallback = None if isinstance(choice.stages[0], candidates.Popular) else candidates.Popular()
    pipeline = Pipeline(list(choice.stages), fallback=fallback).fit(dataset, progress=False, **choice.fit)
    return Suggestion(
        pipeline=pipeline,
        code=program_of(choice.stages, fallback, choice.fit),
        goal=goal,
        look=look,
        tried=choice.tried,
        chosen=choice.name,
        groups=choice.groups,
        notes=choice.notes,
        split=_words(look, validation),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False)
class _Rules:
    """Rules by where they stand."""

    filters: tuple[Any, ...]
    others: tuple[Any, ...]

    @classmethod
    def of(cls, given: Sequence[Any], look: Look) -> _Rules:
        filters = [one for one in given if role_of(one) is Role.FILTER]
        others = [one for one in given if role_of(one) is not Role.FILTER]
        about_history = any(isinstance(one, rules_.NotSeen | rules_.NotOwned) for one in filters)
        if look.events and not look.repeating and not about_history:
            filters.append(rules_.NotSeen())
        return cls(tuple(filters), tuple(others))

    def around(self, source: Any, between: Sequence[Any] = ()) -> list[Any]:
        """Return the stages of a pipeline."""
        return [clone(one) for one in (source, *self.filters, *between, *self.others)]


@dataclass(frozen=True, eq=False)
class _Choice:
    """What is to be fitted, and what led to it."""

    name: str
    stages: Sequence[Any]
    fit: dict[str, Any] = field(default_factory=dict)
    tried: tuple[Tried, ...] = ()
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()


def _words(look: Look, validation: Validation | None) -> str:
    if validation is None:
        return ""
    n = len(validation.users)
    if validation.in_time:
        return f"chosen on {n:,} users of the last {look.horizon}, learned from what was before"
    return f"chosen on a fifth of the items of {n:,} users: events have no times, or too short a span"


def _by_rule(look: Look, rules: _Rules) -> _Choice:
    """Return what is sound where there is nothing to judge by."""
    sources: list[Any] = []
    if look.anonymous > 0.5 and look.events:
        why = "no users to judge by: sessions like the last items, then what is popular"
        sources = [candidates.SessionKNN(), candidates.Popular()]
    elif not look.events:
        why = "no events: the catalogue alone, by likeness of attributes where a history is given"
        sources = [candidates.Content(), candidates.Popular()] if look.labels else [candidates.Popular()]
    else:
        why = f"too few users to choose by ({look.users}): popularity, and what the user's own events say"
        own = candidates.History() if look.repeating else candidates.ItemKNN()
        sources = [own, candidates.Popular()]
    source = candidates.FirstOf(sources, min_items=10) if len(sources) > 1 else sources[0]
    return _Choice("", rules.around(source), notes=(why,))


class _Search:
    """The trials, cheap ones first, and the choice among them."""

    def __init__(
        self, look: Look, validation: Validation, rules: _Rules, seconds: float, started: float
    ) -> None:
        self.look, self.validation, self.rules = look, validation, rules
        self.seconds, self.deadline = seconds, started + seconds
        self.judged: dict[str, Judged] = {}
        self.made: dict[str, Any] = {}
        self.notes: list[str] = []

    def choice(self) -> _Choice:
        """Try sources, their blend and a ranker; return what the intervals support."""
        left = self._try_sources()
        best = max(self.judged.values(), key=lambda one: one.tried.mean)
        chosen = _Choice(best.tried.name, self.rules.around(self.made[best.tried.name]))
        kept = self._adding_recall(best)
        blend = self._try_blend(kept)
        strongest = best
        if blend is not None and self._supports(blend, best) and self._loses_nobody(blend, best):
            strongest, chosen = blend, _Choice("blend", self.rules.around(self.made["blend"]))
        if self.validation.in_time and self._in_time(_FOR_RANKER, left):
            chosen = self._try_ranker(kept, strongest) or chosen
        tried = tuple(
            replace(one.tried, verdict=self._verdict(one, best, chosen.name)) for one in self.judged.values()
        )
        taken = self.judged[chosen.name]
        new = new_items_apart(self.validation, taken, best)
        groups = groups_apart(self.validation, taken, best)
        notes = (*self.notes, *([new] if new else []))
        return replace(chosen, tried=tried, groups=groups, notes=notes)

    def _try_sources(self) -> float:
        """Try what fits into the time; return the seconds that are left by the estimate."""
        left = self.seconds
        for one in proposals(self.look):
            if self.judged and (
                one.cost > left - (1 - _FOR_SOURCES) * self.seconds or not self._clock(one.name)
            ):
                self.notes.append(
                    f"{one.name} was not tried: some {one.cost:.0f} s, more than there was time for"
                )
                continue
            left -= one.cost
            self._try(one)
        return left

    def _try(self, one: Proposal) -> None:
        self.made[one.name] = one.make()
        try:
            stages = [clone(stage) for stage in (self.made[one.name], *self.rules.filters)]
            self.judged[one.name] = self.validation.judge(one.name, stages, {})
        except RecokitError as error:
            self.notes.append(f"{one.name} could not be fitted: {str(error)[:120]}")

    def _clock(self, name: str) -> bool:
        if time.perf_counter() < self.deadline:
            return True
        self.notes.append(f"the clock ended the trials before {name}: a slower machine than expected")
        return False

    def _in_time(self, cost: float, left: float) -> bool:
        return left >= cost and self._clock("the ranker")

    def _supports(self, new: Judged, old: Judged) -> bool:
        """Whether the interval of the paired difference is above 0."""
        return bool(mean_interval(new.values - old.values, _CONFIDENCE)[1] > 0)

    def _adding_recall(self, best: Judged) -> list[Judged]:
        """Return sources, the best first, each of which finds more than those before it do."""
        kept, found = [best], set(best.hits.tolist())
        others = [one for one in self.judged.values() if one is not best]
        n = max(len(self.validation.truth().values), 1)
        while others and len(kept) < _SOURCES:
            gains = [len(set(one.hits.tolist()) - found) for one in others]
            place = int(np.argmax(gains))
            # Two standard errors of a count.
            if gains[place] < max(4.0, 2.0 * np.sqrt(gains[place]), 0.01 * n):
                break
            found |= set(others[place].hits.tolist())
            kept.append(others.pop(place))
        return kept

    def _try_blend(self, kept: Sequence[Judged]) -> Judged | None:
        """Try the weighted sum of the best sources and of those that add recall."""
        ranked = sorted(self.judged.values(), key=lambda one: -one.tried.mean)[:3]
        names = list(dict.fromkeys(one.tried.name for one in (*ranked, *kept)))[:_SOURCES]
        if len(names) < 2 or not self._clock("the blend"):
            return None
        self.made["blend"] = candidates.Blend([self.made[name] for name in names])
        self._try(Proposal("blend", lambda: self.made["blend"], 0.0))
        return self.judged.get("blend")

    def _try_ranker(self, kept: Sequence[Judged], strongest: Judged) -> _Choice | None:
        """Try two stages; None where they are not supported."""
        names = list(dict.fromkeys([strongest.tried.name, *(one.tried.name for one in kept)]))
        sources = [self.made[name] for name in names]
        source = candidates.Merge(sources, limit=_LIMIT) if len(sources) > 1 else sources[0]
        fit = {"label_window": self.look.horizon, "max_requests": _REQUESTS, "requests_at": "auto"}
        between = [features.Standard()]
        try:
            pipeline, spent = self.validation.fitted(
                self.rules.around(source, [*between, ranker(names[0], 0.5)]), fit
            )
        except RecokitError as error:
            self.notes.append(f"no ranker: {str(error)[:160]}")
            return None
        share = self._share(pipeline, names[0])
        if share is None:
            self.notes.append(f"no ranker: at every weight a segment of {_SEGMENT} users lost by it")
            return None
        scorer = ranker(names[0], share)
        judged = self.validation.judged(
            "two stages", pipeline.replace("ranker", self._weighed(pipeline, share)), spent
        )
        self.judged["two stages"] = judged
        best = max(
            (one for name, one in self.judged.items() if name != "two stages"), key=lambda one: one.tried.mean
        )
        if not self._loses_nobody(judged, best):
            return None
        if not self._supports(judged, best):
            self.notes.append(
                f"two stages are not supported over {best.tried.name}, so the simpler one is taken"
            )
            return None
        self.notes.append(
            f"the ranker counts {share:.0%} beside {names[0]}; no segment of {_SEGMENT} users loses"
        )
        return _Choice("two stages", self.rules.around(source, [*between, scorer]), fit)

    def _weighed(self, pipeline: Pipeline, share: float) -> Any:
        """Return the fitted ranker of a pipeline with another weight."""
        blend = copy.copy(stage_of(pipeline["ranker"]))
        blend.weights, blend.weights_ = [share, 1 - share], np.array([share, 1 - share])
        return blend

    def _share(self, pipeline: Pipeline, strongest: str) -> float | None:
        """Return the ranker's weight that is best in the mean and costs no segment against the strongest source."""
        batch = pipeline.candidates(
            pipeline.requests(self.validation.users.tolist(), now=self.validation.now)
        )
        shares = {
            share: self._ndcg(batch, np.nan_to_num(self._weighed(pipeline, share).score(batch), nan=-np.inf))
            for share in (0.0, *_SHARES)
        }
        alone = shares.pop(0.0)
        safe = [share for share, values in shares.items() if self._no_segment_loses(values, alone)]
        return max(safe, key=lambda share: shares[share].mean()) if safe else None

    def _ndcg(self, batch: Any, score: FloatArray) -> FloatArray:
        truth, k = self.validation.truth(), 10
        order = np.lexsort((np.arange(len(score)), -score, batch.row))
        rank = np.arange(len(score)) - batch.offsets[batch.row[order]]
        first = order[rank < k]
        width = self.validation.train.n_items + 1
        hit = np.isin(batch.row[first] * width + batch.item[first], truth.rows * width + truth.values)
        discount = 1.0 / np.log2(np.arange(k) + 2)
        gain = np.bincount(batch.row[first], hit * discount[rank[rank < k]], len(truth))
        return np.asarray(gain / np.cumsum(discount)[np.clip(truth.counts, 1, k) - 1])

    def _no_segment_loses(self, values: FloatArray, alone: FloatArray) -> bool:
        segment = self.validation.segment
        large = [code for code in np.unique(segment) if np.count_nonzero(segment == code) >= _SEGMENT]
        return all((values - alone)[segment == code].mean() >= 0 for code in large)

    def _loses_nobody(self, new: Judged, old: Judged) -> bool:
        """Whether no large segment is worse off; a note says so where one is."""
        safe = self._no_segment_loses(new.values, old.values)
        if not safe:
            self.notes.append(
                f"{new.tried.name} was left out: a segment of {_SEGMENT} users has more of {old.tried.name}"
            )
        return safe

    def _verdict(self, one: Judged, best: Judged, chosen: str) -> str:
        if one.tried.name == chosen:
            return "taken"
        mean, low, high, _ = mean_interval(one.values - best.values)
        if one is best:
            return "the best single source"
        return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}] to {best.tried.name}"
