"""Training: windows, labels, negatives and the two-stage set, against naive definitions; nothing may leak."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import recokit as rk
from recokit._kernels.hashing import row_seeds
from recokit._utils.params import Configured
from recokit.data import Candidates, Dataset, Interactions, Ragged, RankingData, Requests
from recokit.errors import ConfigurationError, DataError
from recokit.training import (
    Negatives,
    TrainingReport,
    TrainingWindow,
    WindowReport,
    assemble,
    build_training_set,
    eligible_users,
    feature_shift,
    label_candidates,
    plan_requests,
    plan_windows,
    population_stability_index,
    require_fitted_before,
    sample_negatives,
    train_ranker,
    usual_shift,
    window_truth,
)
from recokit.training.windows import MAX_REQUESTS

DAY = 86_400.0


def make_dataset(n_users: int = 40, n_items: int = 30, days: int = 40, seed: int = 0, **more: Any) -> Dataset:
    rng = np.random.default_rng(seed)
    n = n_users * days // 2
    log = {
        "user_id": np.concatenate([np.arange(n_users), rng.integers(0, n_users, n)]),
        "item_id": np.concatenate([np.arange(n_users) % n_items, rng.integers(0, n_items, n)]),
        "timestamp": np.sort(rng.uniform(0, days * DAY, n_users + n)),
        "event": rng.choice(["view", "purchase"], n_users + n),
    }
    return Dataset.from_frame(log | more, now=1e12).before(days * DAY)


def make_events(rows: list[tuple[int, int, float, float]]) -> Interactions:
    user, item, time, weight = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return Interactions(
        user.astype(np.int64),
        item.astype(np.int64),
        time.astype(np.float64),
        np.zeros(n, np.int64),
        weight.astype(np.float32),
        np.full(n, np.nan, np.float32),
    )


class TestWindows:
    def test_newest_last_back_from_the_end(self):
        plan = plan_windows(make_dataset(), "7D", windows=3, gap="1D")
        assert [w.end / DAY for w in plan] == [26, 33, 40]
        assert all(w.end - w.start == 7 * DAY and w.start - w.cut == DAY for w in plan)

    def test_by_default_the_older_half_is_left_to_learn_from(self):
        data = make_dataset()
        assert [len(plan_windows(data, f"{days}D")) for days in (1, 5, 7, 10, 30)] == [4, 3, 2, 1, 1]

    def test_without_a_cut_the_last_event_is_in_the_last_window(self):
        data = make_dataset()
        data = data.with_interactions(data.interactions)  # no cut
        (window,) = plan_windows(data, "7D", windows=1)
        last = data.interactions.timestamp[-1]
        assert window.start <= last < window.end
        assert len(data.interactions.between(last, window.end)) == 1

    @pytest.mark.parametrize(("length", "windows", "gap"), [("40D", 1, 0), ("7D", 6, 0), ("7D", 1, "33D")])
    def test_too_short(self, length, windows, gap):
        with pytest.raises(DataError, match=r"no events before the cut.*label_window.*spans 39.9 days; hint"):
            plan_windows(make_dataset(), length, windows, gap)

    def test_empty_window_or_data(self):
        data = make_dataset()
        late = data.with_interactions(data.interactions, cut=100 * DAY)
        with pytest.raises(DataError, match="no events in the label window"):
            plan_windows(late, "7D")
        with pytest.raises(DataError, match="no events"):
            plan_windows(data.with_interactions(data.interactions.take(slice(0, 0)), cut=1.0), "7D")
        with pytest.raises(DataError, match="windows=0"):
            plan_windows(data, "7D", 0)


class TestRequests:
    def test_eligible_are_all_known_before_the_cut(self):
        data = make_dataset()
        before = data.before(0.5 * DAY)
        users = eligible_users(before)
        assert users.tolist() == sorted(set(before.interactions.user.tolist()))
        assert 0 < len(users) < data.n_users

    def test_cap_is_a_stable_sample(self):
        before = make_dataset()
        some = eligible_users(before, max_users=10, seed=3)
        assert len(some) == 10 and (np.diff(some) > 0).all()
        assert some.tolist() == eligible_users(before, max_users=10, seed=3).tolist()
        assert some.tolist() != eligible_users(before, max_users=10, seed=4).tolist()
        assert set(some) <= set(eligible_users(before, max_users=20, seed=3))
        assert len(eligible_users(before, max_users=10_000)) == 40

    def test_at_the_cut(self):
        window = TrainingWindow(30 * DAY, 31 * DAY, 38 * DAY)
        requests = plan_requests(make_dataset(), window, seed=5)
        assert (requests.now == 31 * DAY).all()
        assert requests.user.tolist() == list(range(1, 41))
        assert requests.seed.tolist() == row_seeds(5, requests.user).tolist()

    def test_newcomers_of_the_window_are_asked_for(self):
        log = {
            "user_id": [1, 2, 3, 4],
            "item_id": [1, 1, 2, 2],
            "timestamp": [0.0, 11.0, 19.0, 20.0],
        }
        data = Dataset.from_frame(log).before(30.0)
        requests = plan_requests(data, TrainingWindow(10, 10, 20))
        # user 4 comes after the window
        assert requests.user.tolist() == [1, 2, 3] and (requests.now == 10).all()
        assert len(plan_requests(data, TrainingWindow(10, 10, 20), max_requests=2)) == 2

    def test_at_sessions(self):
        log = {
            "user_id": [1, 1, 1, 1, 1, 2, 3],
            "item_id": [1, 2, 3, 4, 5, 1, 1],
            "timestamp": [0.0, 10.0, 11.0, 15.0, 20.0, 12.0, 5.0],
            "session_id": ["a", "b", "b", "c", "b", "d", "e"],
        }
        data = Dataset.from_frame(log).before(30.0)
        requests = plan_requests(data, TrainingWindow(10, 10, 30), requests_at="session")
        # session b began at 10, c at 15; user 2 is new, user 3's was before the window
        starts = list(zip(requests.user.tolist(), requests.now.tolist(), strict=True))
        assert starts == [(1, 10.0), (1, 15.0), (2, 12.0)]
        capped = plan_requests(data, TrainingWindow(10, 10, 30), requests_at="session", max_requests=1)
        assert len(capped) == 1
        with pytest.raises(DataError, match=r"no sessions.*hint"):
            plan_requests(make_dataset(), TrainingWindow(30 * DAY, 31 * DAY, 38 * DAY), requests_at="session")


class TestLabels:
    def test_strongest_event_wins(self):
        requests = Requests.build(np.array([1, 2]), now=10.0)
        events = make_events(
            [(1, 7, 10, 0.1), (1, 7, 12, 1.0), (1, 7, 13, 0.2), (2, 7, 11, 0.1), (3, 7, 11, 1.0)]
        )
        truth = window_truth(requests, events)
        assert truth.offsets.tolist() == [0, 1, 2] and truth.values.tolist() == [7, 7]
        np.testing.assert_array_equal(truth.columns["gain"], np.float32([1.0, 0.1]))

    def test_unknown_items_and_zero_weights_do_not_count(self):
        requests = Requests.build(np.array([1]), now=10.0)
        assert len(window_truth(requests, make_events([(1, 0, 10, 1.0), (1, 3, 11, 0.0)])).values) == 0
        assert len(window_truth(requests, make_events([(1, 3, 9, 1.0)])).values) == 0

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 10_000))
    def test_equal_the_naive_definition(self, seed):
        rng = np.random.default_rng(seed)
        pairs = {
            (int(u), float(t)) for u, t in zip(rng.integers(1, 5, 8), rng.integers(0, 10, 8), strict=True)
        }
        order = list(pairs)
        requests = Requests.build(np.array([u for u, _ in order]), now=np.array([t for _, t in order]))
        n = int(rng.integers(0, 40))
        times = np.sort(rng.integers(0, 12, n))
        rows = [
            (int(rng.integers(1, 6)), int(rng.integers(1, 6)), float(t), float(rng.choice([0.1, 0.5, 1.0])))
            for t in times
        ]
        events = make_events(rows) if rows else make_events([(1, 1, 0, 0)])
        items = [rng.permutation(np.arange(1, 7))[: rng.integers(0, 7)].tolist() for _ in order]
        batch = Candidates.from_lists(items, requests=requests)
        expected = []
        for (user, now), mine in zip(order, items, strict=True):
            later = min((t for u, t in order if u == user and t > now), default=np.inf)
            for item in mine:
                gains = [w for u, i, t, w in rows if u == user and i == item and now <= t < later]
                expected.append(max(gains, default=0.0))
        np.testing.assert_allclose(
            label_candidates(batch, window_truth(requests, events)), expected, atol=1e-7
        )

    def test_nothing_to_label(self):
        assert label_candidates(Candidates.from_lists([[], []]), Ragged.empty(2)).shape == (0,)


class TestNegatives:
    def sample(self, label, counts, negatives, seed=0):
        offsets = np.concatenate([[0], np.cumsum(counts)])
        item = np.concatenate([np.arange(1, n + 1) for n in counts])
        seeds = row_seeds(seed, np.arange(1, len(counts) + 1))
        return sample_negatives(np.asarray(label, np.float32), offsets, item, seed=seeds, negatives=negatives)

    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.integers(0, 60), min_size=1, max_size=6),
        st.integers(0, 5),
        st.integers(1, 20),
        st.sampled_from([0.0, 0.3, 1.0]),
        st.integers(0, 30),
        st.integers(0, 99),
    )
    def test_numbers_and_weights(self, counts, per_positive, per_request, hard_share, depth, seed):
        rng = np.random.default_rng(seed)
        label = (rng.random(sum(counts)) < 0.2) * rng.choice([0.1, 1.0], sum(counts))
        negatives = Negatives(per_positive, per_request, hard_share, depth)
        index, weight, hard = self.sample(label, counts, negatives)
        assert (np.diff(index) > 0).all()
        row = np.repeat(np.arange(len(counts)), counts)
        for b, n in enumerate(counts):
            mine = row[index] == b
            positives = int((label[row == b] > 0).sum())
            kept = mine & (label[index] == 0)
            # all positives, as many negatives as asked or as there are, weights that add up to all of them
            assert (mine & (label[index] > 0)).sum() == positives
            assert kept.sum() == min(max(per_request, per_positive * positives), n - positives)
            if kept.any() and 0.0 < hard_share < 1.0 and per_request > 1:
                both = hard[kept].any() and not hard[kept].all()
                first = (label[row == b][:depth] == 0).sum()
                assert both == (0 < first < n - positives and kept.sum() > 1)
        assert (weight[label[index] > 0] == 1).all() and (weight >= 1).all()

    def test_weights_are_the_inverse_probability(self):
        label = np.zeros(200)
        index, weight, hard = self.sample(label, [200], Negatives(0, 40, 0.5, 50))
        assert hard.sum() == 20 and (index[hard] < 50).all() and (index[~hard] >= 50).all()
        np.testing.assert_allclose(weight[hard], 50 / 20)
        np.testing.assert_allclose(weight[~hard], 150 / 20)
        assert weight.sum() == 200

    def test_every_negative_is_as_likely(self):
        drawn = np.zeros(20)
        for seed in range(400):
            index, _, _ = self.sample(np.zeros(20), [20], Negatives(0, 5, 0.0), seed)
            drawn[index] += 1
        assert np.abs(drawn / 400 - 0.25).max() < 0.09

    def test_the_same_in_any_chunking(self):
        counts, label = [30, 40, 20], np.zeros(90)
        label[[3, 31, 75]] = 1
        whole, weight, _ = self.sample(label, counts, Negatives(3, 5, 0.5, 10))
        offsets = np.cumsum([0, *counts])
        parts, weights = [], []
        for b in range(3):
            seeds = row_seeds(0, np.array([b + 1]))
            mine = label[offsets[b] : offsets[b + 1]].astype(np.float32)
            index, w, _ = sample_negatives(
                mine,
                np.array([0, counts[b]]),
                np.arange(1, counts[b] + 1),
                seed=seeds,
                negatives=Negatives(3, 5, 0.5, 10),
            )
            parts.append(index + offsets[b])
            weights.append(w)
        assert np.concatenate(parts).tolist() == whole.tolist()
        assert np.concatenate(weights).tolist() == weight.tolist()

    @pytest.mark.parametrize(
        "options",
        [
            {"per_positive": -1},
            {"per_request": -1},
            {"per_positive": 0, "per_request": 0},
            {"hard_share": 1.1},
            {"hard_share": -0.1},
            {"hard_depth": -1},
        ],
    )
    def test_options_are_checked(self, options):
        with pytest.raises(ConfigurationError, match="expected"):
            Negatives(**options)


@dataclass
class CountingPrefix:
    """Own items by count, then the others; features as of the prefix's own data, and a spy on what it was given."""

    dataset: Dataset
    calls: list[int]
    skipped: tuple[str, ...] = ("in_stock",)
    stages: dict[str, Any] = field(default_factory=dict)
    missing_items: int = 0

    def __post_init__(self):
        self.stages = {"history": type("Source", (), {"fitted_until_": self.dataset.until})()}

    def run(self, requests: Requests) -> Candidates:
        self.calls.append(len(requests))
        assert (self.dataset.interactions.timestamp < requests.now.min(initial=np.inf)).all()
        n_items = self.dataset.n_items
        counts = self.dataset.interactions.matrix(self.dataset.n_users, n_items).toarray()
        items = [
            (np.argsort(-counts[u, 1:], kind="stable") + 1)[: n_items - self.missing_items]
            for u in requests.user
        ]
        batch = Candidates.from_lists([list(row) for row in items], requests=requests)
        own = counts[batch.user, batch.item]
        return batch.with_features(
            np.stack([own, counts.sum(axis=0)[batch.item]], axis=1).astype(np.float32), ("own", "all")
        )


class Recorder(Configured):
    """A ranker that keeps what it was given."""

    def __init__(self, *, option: int = 1) -> None:
        self.option = option

    def fit(self, data: RankingData) -> Recorder:
        self.data_ = data
        return self


def build(data: Dataset, calls: list[int] | None = None, missing_items: int = 0, **options: Any):
    seen = [] if calls is None else calls
    return build_training_set(
        lambda part: CountingPrefix(part, seen, missing_items=missing_items),
        data,
        **({"label_window": "7D", "windows": 1} | options),
    )


class TestTrainingSet:
    def test_newest_window_validates(self):
        data = make_dataset()
        training = build(data, windows=3)
        rows, held = training.data, training.data.validation
        assert set(training.report.negatives) == {"hard", "uniform"}
        assert set(rows.now / DAY) == {19.0, 26.0} and set(held.now / DAY) == {33.0}
        assert [w.part for w in training.report.windows] == ["train", "train", "validation"]
        assert len(rows.offsets) - 1 == 80 and len(held.offsets) - 1 == 40

    def test_labels_are_what_happened_next(self):
        data = make_dataset()
        training = build(data, windows=2, negatives=None, validation=False)
        rows = training.data
        assert training.report.negatives == {"all": len(rows) - training.report.positives}
        later = data.interactions
        for i in np.random.default_rng(0).integers(0, len(rows), 200):
            mine = (later.user == rows.user[i]) & (later.item == rows.item[i])
            mine &= (later.timestamp >= rows.now[i]) & (later.timestamp < rows.now[i] + 7 * DAY)
            assert rows.label[i] == later.weight[mine].max(initial=0.0)
            before = (
                (later.user == rows.user[i]) & (later.item == rows.item[i]) & (later.timestamp < rows.now[i])
            )
            np.testing.assert_allclose(rows.features[i, 0], later.weight[before].sum(), rtol=1e-5)

    def test_one_window_holds_out_a_share_of_requests(self):
        training = build(make_dataset(n_users=300), windows=1)
        rows, held = training.data, training.data.validation
        assert not set(rows.user) & set(held.user)
        assert 0.1 < len(set(held.user)) / 300 < 0.3
        assert training.report.windows[0].part == "both"
        assert build(make_dataset(), validation=False).data.validation is None

    def test_chunks_change_nothing(self):
        data = make_dataset()
        calls: list[int] = []
        whole, parts = build(data, windows=2), build(data, calls, windows=2, chunk_rows=7)
        assert calls[:7] == [7, 7, 7, 7, 7, 5, 7]
        assert whole.report == parts.report
        for one, other in ((whole.data, parts.data), (whole.data.validation, parts.data.validation)):
            for name in ("features", "label", "weight", "offsets", "user", "item", "now"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))

    def test_weights_add_up_to_all_candidates(self):
        training = build(make_dataset(), negatives=Negatives(1, 2, 0.5, 5), validation=False)
        report = training.report
        assert training.data.weight.sum() == pytest.approx(report.windows[0].candidates)
        assert report.rows == len(training.data) < report.windows[0].candidates
        assert report.positives == (training.data.label > 0).sum()
        assert sum(report.negatives.values()) == report.rows - report.positives
        # a user's draws differ from window to window
        two = build(make_dataset(), windows=2, negatives=Negatives(0, 3, 0.0), validation=False).data
        first, second = (
            {(u, i) for u, i, t in zip(two.user, two.item, two.now, strict=True) if t == now}
            for now in np.unique(two.now)
        )
        assert first != second

    def test_misses_set_the_ceiling(self):
        data = make_dataset()
        full, part = build(data), build(data, missing_items=10)
        assert full.report.missed == 0 and full.report.ceiling == 1.0
        assert part.report.missed + part.report.positives == full.report.positives
        assert 0.3 < part.report.ceiling < 0.95
        assert part.report.label_rate == part.report.positives / (40 * 20)

    def test_sessions(self):
        data = make_dataset()
        sessions = np.arange(len(data.interactions)) // 3
        data = data.with_interactions(data.interactions.replace(session=sessions), cut=data.cut)
        training = build(data, requests_at="session", validation=False)
        assert len(np.unique(training.data.now)) > 20
        assert training.data.now.min() >= 33 * DAY

    def test_users_without_positives_stay(self):
        report = build(make_dataset(n_users=200, days=40), validation=False, max_requests=150).report
        assert report.groups == 150

    def test_more_requests_than_the_limit_are_sampled_unless_all_are_wanted(self):
        data = make_dataset(n_users=MAX_REQUESTS + 100, days=40)
        default = build(data, validation=False)
        assert default.report.groups == MAX_REQUESTS
        assert f"{MAX_REQUESTS:,} of {MAX_REQUESTS + 100:,} requests" in str(default.report)
        again = build(data, validation=False)
        assert np.array_equal(default.data.user, again.data.user)
        assert np.array_equal(default.data.features, again.data.features, equal_nan=True)
        everybody = build(data, validation=False, max_requests=None).report
        assert everybody.groups == everybody.available == MAX_REQUESTS + 100

    def test_windows_sample_anew(self):
        data = make_dataset(n_users=200, days=40)
        training = build(data, windows=2, validation=False, max_requests=50)
        older, newer = (
            set(training.data.user[training.data.now == now]) for now in np.unique(training.data.now)
        )
        assert older != newer

    @pytest.mark.parametrize("value", [0, -3, 2.5, "many"])
    def test_a_limit_of_requests_is_a_whole_number(self, value):
        with pytest.raises(DataError, match="max_requests"):
            build(make_dataset(), max_requests=value)

    def test_a_pipeline_has_the_same_limit(self):
        assert inspect.signature(rk.Pipeline.fit).parameters["max_requests"].default == MAX_REQUESTS

    def test_no_positives(self):
        with pytest.raises(DataError, match=r"no positives among 0 candidates.*hint"):
            build(make_dataset(), missing_items=30)

    def test_progress_bar(self, capsys):
        build(make_dataset(), progress=True)
        assert "window 1 of 1" in capsys.readouterr().err

    def test_train_ranker_fits_a_clone(self):
        ranker = Recorder(option=5)
        fitted, report = train_ranker(
            ranker, lambda part: CountingPrefix(part, []), make_dataset(), label_window="7D"
        )
        assert fitted.option == 5 and not hasattr(ranker, "data_")
        assert isinstance(report, TrainingReport) and report.feature_names == ("own", "all")
        assert report.skipped == ("in_stock",)

    def test_a_source_that_saw_the_labels_is_refused(self):
        def leaking(part: Dataset) -> CountingPrefix:
            prefix = CountingPrefix(part, [])
            prefix.stages["knn"] = type("Source", (), {"fitted_until_": 40 * DAY})()
            return prefix

        with pytest.raises(ConfigurationError, match=r"knn fitted on events until.*hint"):
            build_training_set(leaking, make_dataset(), label_window="7D")

    def test_as_of_stages_may_know_more(self):
        requests = Requests.build(np.array([1]), now=10.0)
        require_fitted_before({"history": type("H", (), {"fitted_until_": 99.0, "as_of": True})()}, requests)
        require_fitted_before(
            {"popular": type("P", (), {"fitted_until_": 10.0})(), "rule": object()}, requests
        )

    def test_assemble(self):
        rows = build(make_dataset(), validation=False).data
        both = assemble([rows, rows], [rows])
        assert len(both) == 2 * len(rows) and len(both.validation) == len(rows)
        assert both.offsets[-1] == len(both)
        with pytest.raises(DataError, match="at least one part"):
            assemble([])
        other = RankingData(**{**vars(rows), "feature_names": ("own", "sum")})
        with pytest.raises(DataError, match="parts with features"):
            assemble([rows, other])


class TestShift:
    def test_same_distribution_is_stable_and_a_move_is_not(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=5000), rng.normal(size=5000)
        assert population_stability_index(x, y) < 0.02
        assert population_stability_index(x, y + 1) > 0.5
        assert population_stability_index(x, np.where(rng.random(5000) < 0.3, np.nan, y)) > 0.25

    def test_collapse_that_keeps_the_mean(self):
        two_peaks = np.concatenate([np.full(500, -1.0), np.full(500, 1.0)]) + np.linspace(0, 0.01, 1000)
        assert population_stability_index(two_peaks, np.zeros(1000)) > 1.0

    def test_constants_missing_and_empty(self):
        one = np.ones(100)
        assert population_stability_index(one, one) == 0.0
        assert population_stability_index(one, one * 2) > 1.0
        assert population_stability_index(np.full(10, np.nan), np.full(10, np.nan)) == 0.0
        assert np.isfinite(population_stability_index(np.zeros(0), one))

    def test_weights_stand_for_rows(self):
        x = np.tile([0.0, 1.0, 2.0, 3.0], 200)
        weight = np.tile([5, 1, 1, 5], 200)
        repeated = np.repeat(x, weight)
        found = population_stability_index(x, repeated, reference_weight=weight, n_bins=4)
        assert found == pytest.approx(0.0, abs=0.01)
        assert population_stability_index(x, repeated, n_bins=4) > 0.1

    def test_by_feature_name(self):
        training = build(make_dataset(), negatives=None, validation=False)
        data = make_dataset()
        prefix = CountingPrefix(data.before(33 * DAY), [])
        same = feature_shift(training.data, prefix.run(Requests.build(np.arange(1, 41), now=33 * DAY)))
        assert set(same) == {"own", "all"} and max(same.values()) == 0.0
        moved = feature_shift(
            training.data, CountingPrefix(data, []).run(Requests.build(np.arange(1, 41), now=41 * DAY))
        )
        assert moved["all"] > 0.25
        report = training.report.with_shift(moved)
        assert next(iter(report.shifted)) == max(moved, key=moved.get)
        assert "shifted     all: PSI" in str(report)

    def test_what_moves_from_window_to_window_is_nothing_to_act_on(self):
        random = np.random.default_rng(0)
        n = 900
        now = np.repeat([1.0, 2.0, 3.0], n // 3)
        features = np.stack([random.normal(size=n) + 2 * now, random.normal(size=n)], axis=1)
        nobody = np.zeros(n, np.int64)
        rows = RankingData(
            *(features.astype(np.float32), ("age", "price"), (now > 2).astype(np.float32)),
            *(np.ones(n, np.float32), np.array([0, n]), nobody, nobody, now),
        )
        usual = usual_shift(rows)
        assert usual["age"] > 0.25 > usual["price"]
        report = TrainingReport(()).with_shift({"age": 1.5 * usual["age"], "price": 0.6}, usual)
        assert list(report.shifted) == ["price"]
        assert "look at where it comes from" in str(report)
        assert usual_shift(replace(rows, now=np.ones(n))) == {}
        # A sampled negative stands for many: rows with its weight are that many.
        doubled = replace(rows, weight=np.where(features[:, 1] > 0, 5, 1).astype(np.float32))
        assert usual_shift(doubled)["price"] < 0.25


class TestReport:
    def report(self) -> TrainingReport:
        window = WindowReport(0.0, 0.0, 7 * DAY, "train").plus(
            {"hard": 40, "uniform": 60},
            groups=10,
            groups_with_positives=4,
            candidates=1000,
            positives=50,
            missed=50,
            rows=150,
        )
        return TrainingReport((window, window), ("in_stock",), ("a", "b"), {"a": 0.01, "b": 0.6})

    def test_totals(self):
        report = self.report()
        assert (report.rows, report.groups, report.groups_with_positives) == (300, 20, 8)
        assert report.ceiling == 0.5 and report.label_rate == 0.05
        assert report.negatives == {"hard": 80, "uniform": 120}
        assert report.shifted == {"b": 0.6}

    def test_reads_well(self):
        text = str(self.report())
        assert "300 rows of 20 requests, 2 features" in text
        assert "100 (5.00% of the candidates), in 8 requests" in text
        assert "50.0% of what users took" in text
        assert "1970-01-01 to 1970-01-08 (train)" in text
        assert "in_stock: depends on today's state" in text

    def test_html_escapes(self):
        report = TrainingReport(self.report().windows, ("<b>",), ("a",), {"<i>": 0.9})
        html = report._repr_html_()
        assert "&lt;b&gt;" in html and "&lt;i&gt;" in html and "<i>" not in html
        assert "50.0%" in html

    def test_a_feature_moved_above_the_usual_reading(self):
        report = TrainingReport(self.report().windows, (), ("a", "b"), {"a": 0.25, "b": 0.26, "c": 0.9})
        assert list(report.shifted) == ["c", "b"]

    def test_says_of_how_many_requests_it_is_a_sample(self):
        window = WindowReport(0.0, 0.0, DAY, "train", groups=10, available=1_234)
        line = "10 of 1,234 requests; max_requests=None trains on all"
        sampled = TrainingReport((window,))
        assert line in str(sampled) and line in sampled._repr_html_() and sampled.available == 1_234
        assert "max_requests" not in str(self.report()) and self.report().available == 20

    def test_nothing_trained_divides_by_nothing(self):
        empty = TrainingReport((WindowReport(0.0, 0.0, DAY, "both"),))
        assert (empty.ceiling, empty.label_rate, empty.rows, empty.negatives) == (0.0, 0.0, 0, {})
        assert "negatives   none" in str(empty) and "(both)" in str(empty)
        assert "negatives kept: none" in empty._repr_html_()

    def test_counts_of_chunks_add_up(self):
        window = WindowReport(0.0, 0.0, DAY, "train")
        window = window.plus({"hard": 2}, rows=5, positives=1).plus({"hard": 3, "all": 4}, rows=7, missed=3)
        assert (window.rows, window.positives, window.missed) == (12, 1, 3)
        assert window.negatives == {"hard": 5, "all": 4} and window.ceiling == 0.25

    def test_leaks_are_shown(self):
        report = self.report().with_leaks({"a": "a knows <all>"})
        assert "LEAK        a knows <all>" in str(report) and "a knows &lt;all&gt;" in report._repr_html_()


class TestPlan:
    """Windows by hand: a log of one event a day, from day 0 to day 99."""

    def data(self) -> Dataset:
        days = np.arange(100.0)
        return Dataset.from_frame({"user_id": days, "item_id": days, "timestamp": days * DAY}).before(
            100 * DAY
        )

    @pytest.mark.parametrize(
        ("length", "gap", "n"),
        [(1, 0, 4), (12.5, 0, 4), (13, 0, 3), (25, 0, 2), (26, 0, 1), (60, 0, 1), (12, 3, 3)],
    )
    def test_as_many_windows_as_leave_the_older_half(self, length, gap, n):
        assert len(plan_windows(self.data(), length * DAY, gap=gap * DAY)) == n

    def test_cut_start_and_end(self):
        older, newer = plan_windows(self.data(), "10D", 2, "1D")
        assert (older.cut, older.start, older.end) == (79 * DAY, 80 * DAY, 90 * DAY)
        assert (newer.cut, newer.start, newer.end) == (89 * DAY, 90 * DAY, 100 * DAY)

    def test_there_must_be_events_before_the_cut(self):
        data = self.data()
        assert plan_windows(data, 99 * DAY, 1)[0].cut == DAY
        with pytest.raises(DataError, match=r"before the cut.*spans 99\.0 days"):
            plan_windows(data, 100 * DAY, 1)
        for windows in (0, -1):
            with pytest.raises(DataError, match=f"found windows={windows}"):
                plan_windows(data, DAY, windows)

    def test_sessions_start_with_their_first_event(self):
        log = {
            "user_id": [1, 1, 1, 2, 2],
            "item_id": [1, 2, 3, 1, 2],
            "timestamp": [10.0, 11.0, 12.0, 13.0, 14.0],
            "session_id": ["a", "a", "b", "b", "b"],
        }
        data = Dataset.from_frame(log).before(20.0)
        requests = plan_requests(data, TrainingWindow(5.0, 10.0, 20.0), requests_at="session")
        assert requests.user.tolist() == [1, 1, 2] and requests.now.tolist() == [10.0, 12.0, 13.0]
        two = plan_requests(data, TrainingWindow(5.0, 10.0, 20.0), requests_at="session", max_requests=2)
        assert len(two) == 2 and set(two.now.tolist()) <= {10.0, 12.0, 13.0}
        assert (
            len(plan_requests(data, TrainingWindow(5.0, 10.0, 20.0), requests_at="session", max_requests=3))
            == 3
        )


class TestAuto:
    """Requests at sessions where they teach more than the users' states at the cut."""

    @staticmethod
    def log(items: list[int]) -> Dataset:
        """Return two users whose events pause, the second time for an hour, in the window from 10 to 90,000 s."""
        times = [0.0, 0.0, 20.0, 1_000.0, 4_601.0, 30.0]
        return Dataset.from_frame({"user": [1, 2, 1, 1, 1, 2], "item": items, "timestamp": times})

    def test_sessions_begin_after_pauses_of_more_than_30_minutes(self) -> None:
        window = TrainingWindow(10.0, 10.0, 90_000.0)
        requests = plan_requests(self.log([1, 2, 3, 4, 5, 6]), window, requests_at="auto")
        assert requests.user.tolist() == [1, 1, 2]
        assert requests.now.tolist() == [20.0, 4_601.0, 30.0]

    def test_users_who_take_the_same_again_are_asked_for_at_the_cut(self) -> None:
        window = TrainingWindow(10.0, 10.0, 90_000.0)
        requests = plan_requests(self.log([1, 2, 1, 1, 5, 2]), window, requests_at="auto")
        assert requests.now.tolist() == [10.0, 10.0]

    def test_so_are_many_users(self, monkeypatch: pytest.MonkeyPatch) -> None:
        window = TrainingWindow(10.0, 10.0, 90_000.0)
        monkeypatch.setattr("recokit.training.windows._ENOUGH", 2)
        requests = plan_requests(self.log([1, 2, 3, 4, 5, 6]), window, requests_at="auto")
        assert requests.now.tolist() == [10.0, 10.0]

    def test_session_ids_hold_where_there_are_some(self) -> None:
        log = {"user": [1, 1, 1], "item": [1, 2, 3], "timestamp": [0.0, 20.0, 21.0], "session_id": [7, 8, 9]}
        window = TrainingWindow(10.0, 10.0, 90.0)
        assert plan_requests(Dataset.from_frame(log), window, requests_at="auto").now.tolist() == [20.0, 21.0]
