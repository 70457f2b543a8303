"""One wrong stage for each contract: check_stage finds it, and says what is wrong."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from recokit._utils.params import Configured
from recokit.data import Cap, Pin, Ragged, Retrieved
from recokit.data.requests import Hydrated
from recokit.testing import ContractFailure, check_stage


class TwoVerbs:
    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)

    def score(self, candidates):
        return candidates.score


class NoVerb:
    pass


class WrongDtype:
    def keep(self, candidates):
        return np.ones(len(candidates))


class WrongLength:
    def score(self, candidates):
        return np.zeros(candidates.n_rows, np.float32)


class Lists:
    def keep(self, candidates):
        return [True] * len(candidates)


class ScoresInPlace:
    def score(self, candidates):
        candidates.score[:] = 1.0
        return candidates.score


class AddsColumn:
    def score(self, candidates):
        candidates.columns["mine"] = candidates.score
        return candidates.score


class SetsField:
    def score(self, candidates):
        candidates.score = candidates.score + 1
        return candidates.score


class RelativeToBatch:
    def score(self, candidates):
        return candidates.score / np.float32(max(candidates.score.sum(), 1.0))


class NotTwiceInBatch:
    def keep(self, candidates):
        _, first = np.unique(candidates.item, return_index=True)
        kept = np.zeros(len(candidates), np.bool_)
        kept[first] = True
        return kept


class BestOnly:
    """A filter that looks at the other candidates of the row."""

    def keep(self, candidates):
        best = np.full(candidates.n_rows, -np.inf)
        np.maximum.at(best, candidates.row, np.nan_to_num(candidates.score))
        return np.nan_to_num(candidates.score) >= best[candidates.row] / 2


class ByPlace:
    def score(self, candidates):
        place = np.arange(len(candidates)) - candidates.offsets[candidates.row]
        return (1.0 / (1 + place)).astype(np.float32)


class ByRow:
    def score(self, candidates):
        return (candidates.score * (1 + candidates.row % 2)).astype(np.float32)


class GlobalRandom:
    def score(self, candidates):
        return np.random.random(len(candidates)).astype(np.float32)  # noqa: NPY002


class LoopsOverCandidates:
    def score(self, candidates):
        out = np.zeros(len(candidates), np.float32)
        for i in range(len(candidates)):
            out[i] = candidates.score[i] * 2
        return out


class Comprehension:
    def score(self, candidates):
        return np.array([value * 2 for value in candidates.score], np.float32)


class UndeclaredHistory:
    def keep(self, candidates):
        lists = candidates.requests.lists("history")
        return lists.counts[candidates.row] > 2


class UndeclaredFeature:
    def score(self, candidates):
        return np.nan_to_num(candidates.feature("price"))


class Repeats:
    def retrieve(self, requests, limit):
        item = np.tile(np.array([4, 4], np.int64), len(requests))
        return Retrieved(np.arange(len(requests) + 1) * 2, item, np.ones(len(item), np.float32))


class OverTheLimit:
    def retrieve(self, requests, limit):
        item = np.tile(np.arange(1, limit + 2), len(requests))
        return Retrieved(np.arange(len(requests) + 1) * (limit + 1), item, np.ones(len(item), np.float32))


class WorstFirst:
    def retrieve(self, requests, limit):
        item = np.tile(np.array([4, 5], np.int64), len(requests))
        score = np.tile(np.array([0.5, 0.75], np.float32), len(requests))
        return Retrieved(np.arange(len(requests) + 1) * 2, item, score)


class UnknownItem:
    def retrieve(self, requests, limit):
        item = np.zeros(len(requests), np.int64)
        return Retrieved(np.arange(len(requests) + 1), item, np.ones(len(item), np.float32))


class IgnoresSmallLimit:
    def retrieve(self, requests, limit):
        item = np.tile(np.array([4, 5], np.int64), len(requests))
        return Retrieved(np.arange(len(requests) + 1) * 2, item, np.ones(len(item), np.float32))


class RepeatsPositions:
    def rerank(self, candidates):
        return np.repeat(np.arange(len(candidates)), 2)


class MixesRows:
    def rerank(self, candidates):
        return np.arange(len(candidates))[::-1].copy()


class HidesOption:
    def __init__(self, days):
        self._days = days

    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)


class ConvertsOption:
    def __init__(self, days):
        self.days = days * 86_400

    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)


class RemembersCandidates:
    def score(self, candidates):
        self.current = candidates
        return self.current.score


class SharedBuffer:
    """State that no attribute of the stage shows: only threads find it."""

    shared = SimpleNamespace(batch=None)

    def score(self, candidates):
        shared = self.shared
        shared.batch = candidates
        score = shared.batch.score
        return score


class FailsWhenEmpty:
    def score(self, candidates):
        return (candidates.score / candidates.score.max()).astype(np.float32) * 0 + candidates.score


class BrokenRepr(Configured):
    def __repr__(self):
        return "a stage"

    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)


class FitReturnsNothing(Configured):
    def fit(self, dataset):
        self.n_ = dataset.n_items

    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)


class BindsInPlace(Configured):
    def bind(self, schema):
        self.category_ = schema.item_column("category")
        return self

    def keep(self, candidates):
        return self.category_[candidates.item] > 0


class BothLimits:
    def limit(self, candidates):
        return (Cap("category", np.zeros(len(candidates), np.int64), maximum=2, share=0.5),)


class PinsNowhere:
    def limit(self, candidates):
        return (Pin("top", np.full(len(candidates), -1)),)


class ShortColumn:
    def annotate(self, candidates):
        return {"labels": np.zeros(candidates.n_rows)}


class ShortHistory:
    def hydrate(self, requests):
        return Hydrated(ragged={"history": Ragged.empty(1)})


class FlatGain:
    def start(self, window):
        return window

    def gain(self, state):
        return state.relevance[:, :1]

    def update(self, state, chosen, active):
        return state


class UpdatesAllRows:
    def start(self, window):
        return np.array(window.relevance)

    def gain(self, state):
        return state

    def update(self, state, chosen, active):
        return state / 2


class TooManyColumns:
    names = ("age",)

    def featurize(self, candidates):
        return np.zeros((len(candidates), 2), np.float32)


class SeesTheFuture(Configured):
    as_of = True

    def fit(self, dataset):
        self.counts_ = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1).astype(
            np.float32
        )
        return self

    @property
    def names(self):
        return ("clicks",)

    def featurize(self, candidates):
        return self.counts_[candidates.item][:, None]


class LosesState(Configured):
    def fit(self, dataset):
        self.counts = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1).astype(np.float32)
        return self

    @property
    def names(self):
        return ("clicks",)

    def featurize(self, candidates):
        return self.counts[candidates.item][:, None]


class Connection:
    def __reduce__(self):
        raise TypeError("cannot pickle a connection")


class UnpicklableState(Configured):
    def fit(self, dataset):
        self.connection_ = Connection()
        return self

    def keep(self, candidates):
        return candidates.item > 3


WRONG = [
    (
        TwoVerbs(),
        "'one_verb': found the verbs keep, score on TwoVerbs; "
        "expected exactly one of hydrate, retrieve, keep, featurize, score, limit, gain, rerank, annotate; "
        "hint: split a stage that does two things into two stages",
    ),
    (
        NoVerb(),
        "'one_verb': found no verb on NoVerb; "
        "expected exactly one of hydrate, retrieve, keep, featurize, score, limit, gain, rerank, annotate; "
        "hint: a class of recokit, or one of your own with one of these methods",
    ),
    (TwoVerbs, "'one_verb': found the class TwoVerbs; expected an instance, TwoVerbs(...)"),
    (
        WrongDtype(),
        "'output': found float64 (73,) from keep; expected bool (73,); hint: one decision for each candidate",
    ),
    (
        WrongLength(),
        "'output': found float32 (8,) from score; "
        "expected float32 (73,); "
        "hint: one score for each candidate, .astype(np.float32)",
    ),
    (Lists(), "'output': found list from keep; expected bool (73,); hint: one decision for each candidate"),
    (
        ScoresInPlace(),
        "'inputs': found a write into the input of score (ValueError: assignment destination is read-only); "
        "expected inputs left as they are; "
        "hint: work on a copy: batches share arrays with the whole run",
    ),
    (
        AddsColumn(),
        "'inputs': found a write into the input of score (TypeError: 'mappingproxy' object does not support "
        "item assignment); "
        "expected inputs left as they are; "
        "hint: work on a copy: batches share arrays with the whole run",
    ),
    (
        SetsField(),
        "'inputs': found a write into the input of score (FrozenInstanceError: cannot assign to field "
        "'score'); "
        "expected inputs left as they are; "
        "hint: work on a copy: batches share arrays with the whole run",
    ),
    (
        RelativeToBatch(),
        "'batch_equals_singles': found scores 0.111211 against 0.0202162 for row 0 asked alone; "
        "expected the same as in its batch; "
        "hint: compute within rows: never across the batch",
    ),
    (
        NotTwiceInBatch(),
        "'batch_equals_singles': found decisions True against False for row 1 asked alone; "
        "expected the same as in its batch; "
        "hint: compute within rows: never across the batch",
    ),
    (
        BestOnly(),
        "'other_candidates': found decision True for item 27 with fewer other candidates; "
        "expected False, as with all of them; "
        "hint: what looks at other candidates is a Constraint, Objective or Reranker",
    ),
    (
        ByPlace(),
        "'candidate_order': found scores 0.5 against 0.2 in row 0 with the candidates in another order; "
        "expected the same answer; "
        "hint: nothing may depend on a candidate's place; "
        "what looks at the order is a Reranker",
    ),
    (
        ByRow(),
        "'batch_equals_singles': found scores 0.842424 against 1.68485 for row 1 asked alone; "
        "expected the same as in its batch; "
        "hint: compute within rows: never across the batch",
    ),
    (
        GlobalRandom(),
        "'deterministic': found scores 0.417022 against 0.548814 in row 0 a second time; "
        "expected the same answer; "
        "hint: draw with recokit's counter-based uniform(requests.seed, ...): no clock, no global generator",
    ),
    (
        LoopsOverCandidates(),
        "'python_events': found LINES for 370; "
        "expected the same number whatever the number; "
        "hint: no Python loop over candidates or rows: use arrays",
    ),
    (
        Comprehension(),
        "'python_events': found LINES for 370; "
        "expected the same number whatever the number; "
        "hint: no Python loop over candidates or rows: use arrays",
    ),
    (
        UndeclaredHistory(),
        "'declared': found that it reads 'history'; "
        "expected all that it reads in requires; "
        "hint: requires = ('history',)",
    ),
    (
        UndeclaredFeature(),
        "'declared': found that it reads 'feature.price'; "
        "expected all that it reads in requires; "
        "hint: requires = ('feature.price',)",
    ),
    (Repeats(), "'output': found item 4 2 times in one row; expected distinct items within a row"),
    (OverTheLimit(), "'output': found 11 items for one row; expected at most limit=10 items for each row"),
    (
        WorstFirst(),
        "'best_first': found score 0.75 after 0.5 in row 0; expected items best first, by the source's own score",
    ),
    (
        UnknownItem(),
        "'output': found item codes 0 to 0; "
        "expected codes 1 to 30; "
        "hint: code 0 is the unknown item: never recommend it",
    ),
    (
        IgnoresSmallLimit(),
        "'edge_cases: limit of 1': found 2 items for one row; expected at most limit=1 items for each row",
    ),
    (RepeatsPositions(), "'output': found position 0 2 times from rerank; expected distinct positions"),
    (
        MixesRows(),
        "'output': found positions of one row among another's from rerank; "
        "expected rows together, in the batch's order of rows",
    ),
    (
        HidesOption(3),
        "'options': found no attribute 'days'; "
        "expected the option 'days' stored under its own name; "
        "hint: self.days = days in __init__, so that it can be shown, copied and saved",
    ),
    (
        ConvertsOption(3),
        "'options': found option days=22394880000 in a copy made with days=259200; "
        "expected options stored as given; "
        "hint: convert where the option is used, not in __init__",
    ),
    (
        RemembersCandidates(),
        "'stateless': found that score set the attribute 'current'; "
        "expected a stage that stays as it is; "
        "hint: keep nothing on self: one stage serves many requests at once",
    ),
    (
        SharedBuffer(),
        "'threads': found float32 (37,) from score while another thread asks; "
        "expected the same answer as alone; "
        "hint: keep nothing that requests share: one stage serves many of them at once",
    ),
    (
        FailsWhenEmpty(),
        "'edge_cases: empty batch': found ValueError from score (zero-size array to reduction operation "
        "maximum which has no identity); "
        "expected an answer",
    ),
    (
        BrokenRepr(),
        "'repr': found repr 'a stage'; "
        "expected one that names BrokenRepr; "
        "hint: derive from recokit's Configured, or drop it",
    ),
    (
        FitReturnsNothing(),
        "'fit_and_bind': found None from fit; expected the stage itself; hint: end fit with `return self`",
    ),
    (
        BindsInPlace(),
        "'fit_and_bind': found the stage itself from bind; "
        "expected a bound copy; "
        "hint: bound = copy.copy(self), then set its arrays",
    ),
    (
        BothLimits(),
        "'output': found maximum=2, share=0.5 of Cap 'category'; expected exactly one of them, or a minimum",
    ),
    (
        PinsNowhere(),
        "'output': found position -1 of Pin 'top'; expected places from 1, or 0 for none",
    ),
    (
        ShortColumn(),
        "'output': found float64 (8,) as column 'labels'; "
        "expected an array (73,), one entry for each candidate",
    ),
    (
        ShortHistory(),
        "'output': found Ragged as list 'history'; expected a Ragged of 8 rows, one for each request",
    ),
    (
        FlatGain(),
        "'output': found float32 (8, 1) from gain; "
        "expected float (8, 12), one gain for each place of the window",
    ),
    (
        UpdatesAllRows(),
        "'updates': found other gains in rows that chose nothing; "
        "expected the same gains as before; "
        "hint: respect `active` in update",
    ),
    (
        TooManyColumns(),
        "'output': found float32 (73, 2) from featurize; "
        "expected float32 (73, 1); "
        "hint: one column for each of the 1 names",
    ),
    (
        SeesTheFuture(),
        "'as_of': found feature clicks 9 against 7 in row 0 after fitting on later events too; "
        "expected the same answer; "
        "hint: use events strictly before requests.now",
    ),
    (
        LosesState(),
        "'saves': found AttributeError ('LosesState' object has no attribute 'counts') after saving and "
        "loading; "
        "expected the same answer; "
        "hint: what fit learns goes to attributes that end with _, or to state() and load_state()",
    ),
    (
        UnpicklableState(),
        "'pickle': found TypeError (cannot pickle a connection); "
        "expected a stage that can be pickled; "
        "hint: hold data, not functions or open resources, in what fit and bind set",
    ),
]


def _name(stage):
    return stage.__name__ if isinstance(stage, type) else type(stage).__name__


@pytest.mark.parametrize(("stage", "message"), WRONG, ids=[_name(stage) for stage, _ in WRONG])
def test_a_wrong_stage_fails_with_a_clear_message(stage, message):
    with pytest.raises(ContractFailure) as failure:
        check_stage(stage)
    # How many lines a loop runs through differs between versions of Python.
    found = re.sub(r"found \d+ Python line events for 37 candidates, \d+", "found LINES", str(failure.value))
    assert found == f"{_name(stage)} fails check {message}"
