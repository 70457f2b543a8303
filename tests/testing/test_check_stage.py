"""check_stage lets right stages through, whatever their role, and reports what it is told to expect."""

from __future__ import annotations

import copy
import pickle
import threading
import unittest

import numpy as np
import pytest

from recokit._kernels.hashing import uniform
from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.top_k import order_by_score
from recokit._utils.params import Configured
from recokit.data import Cap, Dataset, Live, Pin, Ragged, Requests, Retrieved
from recokit.data.events.user_history import UserHistory
from recokit.data.requests import Hydrated
from recokit.errors import ConfigurationError
from recokit.testing import (
    ContractFailure,
    FixedSource,
    check_stage,
    failing,
    make_candidates,
    make_requests,
    parametrize_checks,
    slow,
    stage_checks,
    toy_dataset,
)
from recokit.testing._running import run_interleaved


class FreshOnly:
    """Keep items published in the last `days` days."""

    def __init__(self, published_at, *, days=7.0):
        self.published_at, self.days = published_at, days  # by item code, row 0 = -inf

    def keep(self, candidates):
        return candidates.now - self.published_at[candidates.item] <= self.days * 86_400


class InStock(Configured):
    live = True

    def __init__(self, stock):
        self.stock = stock

    def keep(self, candidates):
        return candidates.requests.read(self.stock)[candidates.item] > 0


class NotSeen(Configured):
    requires = ("history",)

    def keep(self, candidates):
        seen = candidates.requests.lists("history")
        return ~pairs_in_sets(candidates.row, candidates.item, seen.offsets, seen.values)


class SameCountry(Configured):
    requires = ("context.country", "context.tier")

    def keep(self, candidates):
        requests = candidates.requests
        return (requests.column("country") != "US")[candidates.row] | (requests.column("tier") == "a")[
            candidates.row
        ]


class Country(Configured):
    provides = ("is_german",)
    requires = ("context.country",)

    def hydrate(self, requests):
        german = requests.column("country") == "DE"
        lists = Ragged(
            np.arange(len(requests) + 1), np.where(german, 1, 2), {"weight": german.astype(np.float64)}
        )
        return Hydrated({"is_german": german}, {"local": lists})


class Popular(Configured):
    def fit(self, dataset):
        self.counts_ = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests, limit):
        best = np.argsort(-self.counts_[1:], kind="stable")[:limit] + 1
        offsets = len(best) * np.arange(len(requests) + 1)
        score = np.tile(self.counts_[best].astype(np.float32), len(requests))
        return Retrieved(offsets, np.tile(best, len(requests)), score)


class Prices(Configured):
    names = ("price",)
    requires = ("item.price",)

    def bind(self, schema):
        bound = copy.copy(self)
        bound.price_ = schema.item_column("price")
        return bound

    def featurize(self, candidates):
        return self.price_[candidates.item][:, None].astype(np.float32)


class Explore(Configured):
    def __init__(self, *, amount=0.1):
        self.amount = amount

    def score(self, candidates):
        draw = uniform(candidates.requests.seed[candidates.row], candidates.item)
        return (candidates.score + self.amount * draw).astype(np.float32)


class Threshold(Configured):
    """A ranker: the mean of the first feature among positives splits the scores."""

    def fit(self, data):
        self.names_ = data.feature_names
        self.cut_ = float(np.nanmean(data.features[data.label > 0, 0]))
        return self

    def bind(self, schema):
        if self.names_[0] not in schema.feature_names:
            raise ConfigurationError(f"found no feature {self.names_[0]!r}")
        return copy.copy(self)

    def score(self, candidates):
        return (candidates.feature(self.names_[0]) > self.cut_).astype(np.float32)


class Limits(Configured):
    requires = ("item.category", "item.seller")

    def bind(self, schema):
        bound = copy.copy(self)
        bound.category_, bound.seller_ = schema.item_column("category"), schema.item_column("seller")
        return bound

    def limit(self, candidates):
        both = np.stack(
            [self.category_[candidates.item], 100 + self.seller_[candidates.item]], axis=1
        ).ravel()
        first = np.zeros(len(candidates), np.int64)
        filled = candidates.offsets[:-1][candidates.counts > 0]
        first[filled] = 1
        return (
            Cap("either", both, offsets=2 * np.arange(len(candidates) + 1), maximum=3),
            Cap("category", self.category_[candidates.item], share=0.4, within=10, sliding=True, hard=True),
            Pin("first", first),
        )


class Novel(Configured):
    """An objective that prefers places far from those chosen."""

    def start(self, window):
        return window.relevance, np.zeros(window.valid.shape, np.float32)

    def gain(self, state):
        return state[0] - state[1]

    def update(self, state, chosen, active):
        place = np.arange(state[0].shape[1])
        near = np.exp(-np.abs(place - chosen[:, None])).astype(np.float32)
        return state[0], state[1] + near * active[:, None]


class BestHalf(Configured):
    def rerank(self, candidates):
        order = order_by_score(candidates.row, candidates.score)
        place = np.arange(len(order)) - candidates.offsets[candidates.row]
        return order[place < (candidates.counts[candidates.row] + 1) // 2]


class Label(Configured):
    requires = ("popular_rank", "charts_rank")
    provides = ("labels",)

    def annotate(self, candidates):
        top = (candidates.column("popular_rank") == 1) | (candidates.column("charts_rank") == 1)
        return {"labels": np.where(top, "top", "").astype(object)}


class OnlyLabelled(Configured):
    requires = ("labels",)

    def keep(self, candidates):
        return candidates.column("labels") != ""


class TwoInARow(Configured):
    """Stage options may hold stages."""

    def __init__(self, stages):
        self.stages = stages

    def fit(self, dataset):
        self.fitted_ = [stage.fit(dataset) for stage in self.stages]
        return self

    def retrieve(self, requests, limit):
        return self.fitted_[0].retrieve(requests, limit)


GOOD = [
    FreshOnly(np.array([-np.inf, 0.0, 900_000.0])),
    InStock(Live(np.array([0, 3, 0, 2, 5]))),
    NotSeen(),
    SameCountry(),
    Country(),
    UserHistory(),
    Popular(),
    Prices(),
    Explore(amount=0.5),
    Threshold(),
    Limits(),
    Novel(),
    BestHalf(),
    Label(),
    OnlyLabelled(),
    TwoInARow([Popular()]),
    FixedSource([3, 1, 2]),
    slow(FixedSource([3, 1, 2]), 0.0),
]


@parametrize_checks(GOOD)
def test_right_stages_pass_every_check(check):
    check()


@pytest.mark.parametrize("stage", GOOD, ids=lambda stage: type(stage).__name__)
def test_check_stage_runs_them_all(stage):
    check_stage(stage)


def test_each_role_gets_its_own_checks():
    of_filter = {check.name for check in stage_checks(NotSeen())}
    of_source = {check.name for check in stage_checks(Popular())}
    of_objective = {check.name for check in stage_checks(Novel())}
    assert of_filter - of_source == {"candidate_order", "other_candidates"}
    assert of_source - of_filter == {"best_first"}
    assert of_objective - of_filter == {"updates"}
    of_hydrator = {check.name for check in stage_checks(UserHistory())}
    assert of_hydrator - of_filter == {"as_of"}
    assert [check.name for check in stage_checks(object())] == ["one_verb"]


def test_a_lambda_option_is_not_the_stages_fault():
    class Apply(Configured):
        def __init__(self, function):
            self.function = function

        def keep(self, candidates):
            return self.function(candidates.item)

    stage = Apply(lambda item: item > 3)
    check_stage(stage)
    skipped = [
        check.name for check in stage_checks(stage) if check.name in ("pickle", "saves") and _skips(check)
    ]
    assert skipped == ["pickle", "saves"]


def _skips(check):
    try:
        check()
    except unittest.SkipTest:
        return True
    return False


class Constant(Configured):
    """Wrong in one way: it loops."""

    def score(self, candidates):
        return np.array([0.5 for _ in range(len(candidates))], np.float32)


def test_an_expected_failure_is_let_through():
    with pytest.raises(ContractFailure, match="python_events"):
        check_stage(Constant())
    check_stage(Constant(), expected_failures={"python_events": "a demonstration"})
    check_stage(Constant(), expected_failures=["python_events"])


def test_an_expected_failure_that_passes_is_a_failure():
    with pytest.raises(ContractFailure) as failure:
        check_stage(NotSeen(), expected_failures={"threads": "not safe"})
    assert str(failure.value) == (
        "NotSeen fails check 'threads': found a pass; expected a failure (not safe); "
        "hint: take it out of expected_failures"
    )


def test_an_unknown_check_is_named():
    with pytest.raises(ConfigurationError, match="did you mean 'threads'"):
        check_stage(NotSeen(), expected_failures=["thread"])


def test_parametrize_names_stage_and_check_and_takes_expected_failures():
    mark = parametrize_checks(
        [Constant(), NotSeen()],
        expected_failures=lambda stage: {"python_events": "loops"} if isinstance(stage, Constant) else {},
    ).mark
    names = [repr(check) for check in mark.args[1]]
    assert names[0] == "Constant-one_verb" and "NotSeen-other_candidates" in names
    for check in mark.args[1]:
        if check.name == "python_events":
            check()


def test_own_candidates_are_used():
    class Margin(Configured):
        requires = ("feature.margin",)

        def score(self, candidates):
            return candidates.feature("margin")

    check_stage(Margin())
    check_stage(Margin(), candidates=make_candidates(features=["margin"], per_row=5))
    with pytest.raises(ContractFailure, match="found no feature 'margin'"):
        check_stage(Margin(), candidates=make_candidates(features=["other"]))


def test_own_requests_and_dataset_are_used():
    class Region(Configured):
        requires = ("user.zone",)

        def bind(self, schema):
            bound = copy.copy(self)
            bound.zone_ = schema.user_column("zone")
            return bound

        def keep(self, candidates):
            return self.zone_[candidates.user] == 1

    log = {"user_id": [1, 2, 3], "item_id": [7, 8, 9], "timestamp": [1.0, 2.0, 3.0]}
    data = Dataset.from_frame(log, users={"user_id": [1, 2, 3], "zone": ["a", "b", "a"]})
    check_stage(Region(), dataset=data)
    check_stage(Region(), dataset=data, requests=make_requests(5, n_users=3, n_items=3))
    with pytest.raises(ContractFailure, match="found no user column 'zone'"):
        check_stage(Region())


def test_a_stage_is_never_changed_by_its_check():
    stage = Popular()
    check_stage(stage)
    assert vars(stage) == {}


def test_an_answer_of_another_size_alone_is_found():
    class FirstRowsOnly(Configured):
        def retrieve(self, requests, limit):
            counts = np.minimum(np.arange(len(requests)), 1)
            offsets = np.concatenate([[0], np.cumsum(counts)])
            item = np.concatenate([np.arange(1, count + 1) for count in counts] or [np.zeros(0)]).astype(
                np.int64
            )
            return Retrieved(offsets, item, np.ones(len(item), np.float32))

    with pytest.raises(ContractFailure, match="found 0 scores against 1 for row 1 asked alone"):
        check_stage(FirstRowsOnly())


def test_tied_items_may_change_places_but_others_may_not():
    class Tied(Configured):
        """The last two of three are equally good: which comes first depends on the batch's size."""

        def __init__(self, *, score):
            self.score_of = score

        def retrieve(self, requests, limit):
            flip = len(requests) % 2
            item = np.array([1, 2 + flip, 3 - flip])[:limit]
            score = np.array([3.0, 2.0, self.score_of], np.float32)[:limit]
            offsets = len(item) * np.arange(len(requests) + 1)
            return Retrieved(offsets, np.tile(item, len(requests)), np.tile(score, len(requests)))

    names = ["batch_equals_singles", "threads"]
    for check in stage_checks(Tied(score=2.0)):
        if check.name in names:
            check()
    wrong = [check for check in stage_checks(Tied(score=1.0)) if check.name == "batch_equals_singles"]
    with pytest.raises(ContractFailure, match="found item 3 against 2 at place 2 for row 0 asked alone"):
        wrong[0]()


def test_a_stage_that_locks_is_safe_and_does_not_hang():
    lock = threading.Lock()

    class Locked(Configured):
        def score(self, candidates):
            with lock:
                one = candidates.score + 1
                two = one + 1
            return two

    check_stage(Locked())


def test_threads_that_raise_are_reported():
    def fail():
        raise ValueError("no")

    found = run_interleaved([fail, lambda: 3])
    assert isinstance(found[0], ValueError) and found[1] == 3


def test_failing_and_slow_keep_role_and_options():
    stage = failing(Prices())
    with pytest.raises(RuntimeError, match="failing on purpose"):
        stage.bind(toy_dataset().schema).featurize(make_candidates())
    with pytest.raises(KeyError, match="stock"):
        failing(NotSeen(), KeyError("stock")).keep(make_candidates())
    source = FixedSource([1, 2])
    slept = slow(source, 0.001)
    requests = make_requests(2)
    assert slept.retrieve(requests, 1).item.tolist() == source.retrieve(requests, 1).item.tolist() == [1, 1]
    assert repr(slept) == "SlowFixedSource([1, 2])" and repr(source) == "FixedSource([1, 2])"


@pytest.mark.parametrize("items", [[1, 1], [0, 2]])
def test_a_fixed_source_checks_its_items(items):
    with pytest.raises(ConfigurationError, match="expected distinct codes of at least 1"):
        FixedSource(items)


def test_toy_data_is_deterministic_and_has_cold_ends():
    data, again = toy_dataset(), toy_dataset()
    assert np.array_equal(data.interactions.timestamp, again.interactions.timestamp)
    assert not (data.interactions.user == data.user_ids.encode(["user-20"])[0]).any()
    assert not (data.interactions.item == data.item_ids.encode([130])[0]).any()
    assert toy_dataset(seed=1).interactions.timestamp[0] != data.interactions.timestamp[0]


def test_toy_requests_have_history_in_time_order_before_now():
    requests = make_requests(50)
    history = requests.lists("history")
    time = history.columns["timestamp"]
    assert (time < requests.now[history.rows]).all()
    assert (np.diff(time)[np.diff(history.rows) == 0] >= 0).all()
    assert requests.user[1] == 0 and history.counts[0] == 0 and history.counts.max() > 3
    assert isinstance(requests, Requests)


def test_toy_candidates_are_valid_and_ranks_follow_scores():
    batch = make_candidates(sources=("a", "b"), seed=4)
    batch.validate()
    assert batch.counts[2] == 0 and batch.counts[3] == 1
    for bit, name in enumerate(batch.source_names):
        rank, score = batch.column(f"{name}_rank"), batch.column(f"{name}_score")
        assert np.array_equal(np.isfinite(rank), (batch.sources >> np.uint64(bit)) & np.uint64(1) == 1)
        row0 = slice(0, int(batch.offsets[1]))
        found = np.flatnonzero(np.isfinite(rank[row0]))
        assert np.array_equal(found[np.argsort(-score[row0][found])], found[np.argsort(rank[row0][found])])
        assert rank[row0][found].min() == 1
    with pytest.raises(ConfigurationError, match="at least one of each"):
        make_candidates(sources=())


def test_a_contract_failure_can_be_pickled():
    failure = ContractFailure("Stage", "output", "a", "b", "c")
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)


class MatrixRanker:
    """Learns from, and scores with, the whole matrix of features."""

    def fit(self, data):
        known = np.nan_to_num(data.features)
        self.weights_ = np.linalg.lstsq(known, data.label, rcond=None)[0].astype(np.float32)
        return self

    def score(self, candidates):
        return np.nan_to_num(candidates.features) @ self.weights_


class OneColumn:
    def score(self, candidates):
        return np.nan_to_num(candidates.features[:, 0])


class AsksAnApi:
    io_bound = True

    def retrieve(self, requests, limit):
        lists = [[(int(user) * 7 + place) % 30 + 1 for place in range(limit)] for user in requests.user]
        flat = np.array([item for one in lists for item in one], np.int64)
        offsets = np.cumsum([0, *map(len, lists)])
        score = np.array([1 / (place + 1) for one in lists for place in range(len(one))], np.float32)
        return Retrieved(offsets.astype(np.int64), flat, score)


class ScoresNothing:
    def __init__(self, *, only_first=False, missing=False):
        self.only_first, self.missing = only_first, missing

    def score(self, candidates):
        score = np.ones(len(candidates), np.float32)
        if self.missing:
            return np.where(np.isnan(candidates.features[:, 0]), np.nan, score).astype(np.float32)
        score[: 1 if self.only_first else None] = np.nan
        return score


def test_a_ranker_of_the_whole_matrix_and_a_source_that_asks_for_each_user_pass():
    check_stage(MatrixRanker())
    check_stage(AsksAnApi())
    with pytest.raises(ContractFailure, match=r"feature\.price"):
        check_stage(OneColumn())


@pytest.mark.parametrize("options", [{}, {"only_first": True}])
def test_scores_of_nan_are_found(options):
    with pytest.raises(ContractFailure, match="'output': found score nan"):
        check_stage(ScoresNothing(**options))


def test_what_lacks_a_feature_may_stay_unscored():
    stage = ScoresNothing(missing=True)
    checks = {check.name: check for check in stage_checks(stage)}
    checks["output"]()


def test_expected_failures_as_text_is_refused_with_what_to_write():
    with pytest.raises(ConfigurationError, match=r"hint: \{'output': 'why it fails'\}"):
        check_stage(AsksAnApi(), expected_failures="output")
