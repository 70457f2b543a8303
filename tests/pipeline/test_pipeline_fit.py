"""Training: clones learn, nothing leaks, and a fit that fails changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import DAY, Candidates, Dataset, Live, RankingData, Requests
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.pipeline import Step
from recokit.testing import FixedSource, failing

TRAIN = {"label_window": "7D", "windows": 2, "validation": False}


def stages(ranker: Any = None) -> list[Any]:
    return [
        candidates.Merge([candidates.History(), candidates.Popular(window="3650D")], limit=30),
        rules.NotSeen(),
        features.Standard(),
        ranker or rankers.LogisticRegression(),
    ]


class Learner:
    """A ranker that keeps what it learned from."""

    def __init__(self, log: list[RankingData] | None = None, *, fails: bool = False) -> None:
        self.log, self.fails = log, fails

    def fit(self, data: RankingData) -> Learner:
        if self.fails:
            raise OSError("no memory")
        if self.log is not None:
            self.log.append(data)
        self.mean_ = float(np.nanmean(data.label))
        return self

    def score(self, candidates: Candidates) -> Any:
        return np.full(len(candidates), self.mean_, np.float32)


def test_the_given_stages_stay_unfitted(toy: Dataset) -> None:
    given = stages()
    pipeline = rk.Pipeline(given, fallback=candidates.Popular())
    assert pipeline.fit(toy, **TRAIN) is pipeline
    for stage in (*given[0].sources, *given[2:], pipeline.fallback):
        assert not [name for name in vars(stage) if name.endswith("_") and not name.startswith("_")]
    assert pipeline["logistic_regression"] is not given[3]
    assert len(pipeline.recommend(["user-1"], k=5, now=toy.until).ids(0)) == 5


def test_a_ranker_that_learns_needs_a_label_window(toy: Dataset) -> None:
    with pytest.raises(ConfigurationError, match=r"ranker logistic_regression and no label_window.*'7D'"):
        rk.Pipeline(stages()).fit(toy)


def test_the_report_tells_what_was_learned_from(toy: Dataset) -> None:
    pipeline = rk.Pipeline([*stages()[:1], rules.InStock(Live(np.ones(41))), *stages()[2:]])
    assert pipeline.training_report_ is None
    report = pipeline.fit(toy, **TRAIN).training_report_
    assert report is not None and len(report.windows) == 2 and sum(w.positives for w in report.windows) > 0
    assert report.skipped == ("in_stock",), "today's stock says nothing about the past"
    assert set(report.feature_names) <= set(pipeline["standard"].names)


def test_nothing_to_learn_from_is_a_data_error(toy: Dataset) -> None:
    with pytest.raises(DataError, match=r"hint"):
        rk.Pipeline(stages()).fit(toy, label_window="300D")


@pytest.mark.parametrize("wrong", ["ranker", "source", "data"])
def test_a_fit_that_fails_leaves_the_old_model_serving(toy: Dataset, wrong: str) -> None:
    class Moody(candidates.Popular):
        broken = False

        def fit(self, dataset: Dataset) -> Any:
            if Moody.broken:
                raise OSError("no disk")
            return super().fit(dataset)

    class Fragile(Learner):
        broken = False

        def fit(self, data: RankingData) -> Any:
            if Fragile.broken:
                raise OSError("no memory")
            return super().fit(data)

    pipeline = rk.Pipeline([Moody(window="3650D"), features.Standard(), Fragile()]).fit(toy, **TRAIN)
    before, mark = pipeline.recommend(["user-1", None], now=toy.until), pipeline.fingerprint
    report = pipeline.training_report_
    Moody.broken, Fragile.broken = wrong == "source", wrong == "ranker"
    options = {**TRAIN, "label_window": "900D"} if wrong == "data" else TRAIN
    with pytest.raises((OSError, DataError)):
        pipeline.fit(toy.before(toy.until - 5 * DAY), **options)
    after = pipeline.recommend(["user-1", None], now=toy.until)
    np.testing.assert_array_equal(before.item, after.item)
    np.testing.assert_array_equal(before.score, after.score)
    assert pipeline.fingerprint == mark and pipeline.training_report_ is report
    Moody.broken = Fragile.broken = False
    pipeline.fit(toy.before(toy.until - 5 * DAY), **TRAIN)
    assert pipeline.fingerprint != mark and pipeline.fitted_until == toy.until - 5 * DAY


def test_a_stage_that_fails_while_training_stops_it(toy: Dataset) -> None:
    with pytest.raises(StageError, match="failing_popular failed"):
        rk.Pipeline([failing(candidates.Popular()), features.Standard(), Learner()]).fit(toy, **TRAIN)


def test_waiting_sources_are_asked_in_training_too(toy: Dataset) -> None:
    class Remote(candidates.Popular):
        io_bound = True

    pipeline = rk.Pipeline([Remote(window="3650D"), features.Standard(), Learner()]).fit(toy, **TRAIN)
    assert len(pipeline.recommend([None], k=3, now=toy.until).ids(0)) == 3


def test_a_source_that_has_seen_the_labels_is_refused(toy: Dataset) -> None:
    inner = rk.Pipeline([candidates.Popular(window="3650D")]).fit(toy)
    with pytest.raises(ConfigurationError, match="pipeline_source"):
        rk.Pipeline([inner.as_source(), features.Standard(), Learner()]).fit(toy, **TRAIN)


def test_several_rankers_learn_each_on_its_own_prefix(toy: Dataset) -> None:
    class Second:
        names = ("second",)

        def featurize(self, candidates: Candidates) -> Any:
            return candidates.score[:, None].astype(np.float32)

    first_log: list[RankingData] = []
    second_log: list[RankingData] = []

    class First(Learner):
        def fit(self, data: RankingData) -> Any:
            first_log.append(data)
            return super().fit(data)

    class Last(Learner):
        def fit(self, data: RankingData) -> Any:
            second_log.append(data)
            return super().fit(data)

    pipeline = rk.Pipeline(
        [candidates.Popular(window="3650D"), features.Standard(), First(), Second(), Last()]
    )
    pipeline.fit(toy, **TRAIN)
    assert "second" not in first_log[0].feature_names and second_log[0].feature_names[-1] == "second"
    first: Any = pipeline["first"]
    np.testing.assert_allclose(second_log[0].features[:, -1], np.float32(first.mean_))


def test_a_limit_on_a_feature_after_the_ranker_does_not_stop_the_training(toy: Dataset) -> None:
    class Late:
        names = ("late",)

        def featurize(self, candidates: Candidates) -> Any:
            return np.ones((len(candidates), 1), np.float32)

    class NeedsLate:
        requires = ("feature.late",)

        def limit(self, candidates: Candidates) -> tuple[Any, ...]:
            return ()

    rk.Pipeline([*stages(Learner()), Late(), NeedsLate()]).fit(toy, **TRAIN)


# -- leaks ------------------------------------------------------------------------------------------------------------


def shuffled_after(data: Dataset, cut: float, seed: int = 0) -> Dataset:
    """Return the data with users, items and events of everything from a time on mixed up."""
    log = data.interactions
    late = np.flatnonzero(log.timestamp >= cut)
    order = np.random.default_rng(seed).permutation(late)
    changed = {}
    for name in ("item", "event", "value", "weight"):
        column = getattr(log, name)
        if column is not None:
            changed[name] = column.copy()
            changed[name][late] = column[order]
    return replace(data, interactions=replace(log, **changed))


def test_what_happens_after_the_cut_changes_nothing_before_it(toy: Dataset) -> None:
    cut = toy.until - 14 * DAY
    spoiled = shuffled_after(toy, cut)
    assert not np.array_equal(spoiled.interactions.item, toy.interactions.item)
    requests = Requests.build(np.arange(1, toy.n_users + 1), now=cut)
    honest = rk.Pipeline(stages()[:3]).fit(toy.before(cut)).candidates(requests)
    for data in (toy, spoiled):
        # Sources learn before the cut; what evaluates as of each request's own time may know the whole log.
        later = rk.Pipeline(stages()[:3]).fit(data.before(cut)).candidates(requests)
        np.testing.assert_array_equal(later.item, honest.item)
        np.testing.assert_array_equal(later.features, honest.features)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_rows_of_a_window_do_not_see_what_comes_after_it(toy: Dataset, seed: int) -> None:
    rows: list[RankingData] = []

    class Recorder(Learner):
        def fit(self, data: RankingData) -> Any:
            rows.append(data)
            return super().fit(data)

    cut = toy.until - 7 * DAY
    options: dict[str, Any] = {**TRAIN, "negatives": None, "windows": 1, "label_window": "7D"}
    for data in (toy, shuffled_after(toy, cut, seed)):
        blocks = features.Assemble([features.ItemActivity(), features.UserActivity(), features.UserItem()])
        sources = candidates.Merge([candidates.History(), candidates.Popular(window="3650D")], limit=30)
        rk.Pipeline([sources, rules.NotSeen(), blocks, Recorder()]).fit(data, **options)
    honest, spoiled = rows
    np.testing.assert_array_equal(honest.features, spoiled.features)
    assert honest.label.sum() > 0 and not np.array_equal(honest.label, spoiled.label)


def test_a_popular_item_of_the_future_is_not_known_before(toy: Dataset) -> None:
    cut = toy.until - 7 * DAY
    log = toy.interactions
    late = log.timestamp >= cut
    star = int(log.item.max())
    flooded = replace(toy, interactions=replace(log, item=np.where(late, star, log.item)))
    seen: list[RankingData] = []

    class Recorder(Learner):
        def fit(self, data: RankingData) -> Any:
            seen.append(data)
            return super().fit(data)

    blocks = features.Assemble([features.SourceScores()])
    options = {**TRAIN, "windows": 1, "negatives": None}
    rk.Pipeline([candidates.Popular(window="3650D"), blocks, Recorder()]).fit(flooded, **options)
    taken = seen[0].label > 0
    inverse_rank = seen[0].features[:, list(seen[0].feature_names).index("popular_rank")]
    assert taken.any() and inverse_rank[taken].max() < 0.1, (
        "the star of the label window did not lead before it"
    )


def test_cloning_needs_options_under_their_own_names(toy: Dataset) -> None:
    class Hides:
        def __init__(self, size: int) -> None:
            self.hidden = size

        def fit(self, dataset: Dataset) -> Any:
            return self

        def retrieve(self, requests: Requests, limit: int) -> Any: ...

    with pytest.raises(ConfigurationError, match=r"expected self.size = size"):
        rk.Pipeline([Hides(3)]).fit(toy)


def test_refit_uses_the_stages_options_and_fresh_data(toy: Dataset) -> None:
    pipeline = rk.Pipeline([Step(candidates.Popular(window="3650D"), name="charts")]).fit(
        toy.before(toy.until - 30 * DAY)
    )
    old = pipeline["charts"]
    pipeline.fit(toy)
    assert pipeline["charts"] is not old and pipeline["charts"].fitted_until_ == toy.until


def test_a_pipeline_without_learners_needs_no_labels(toy: Dataset) -> None:
    assert rk.Pipeline([FixedSource([1])]).fit(toy).training_report_ is None
