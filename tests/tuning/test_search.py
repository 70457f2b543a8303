"""Search: what is tried, that nothing leaks, that failures are told, and ratings in both readings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recokit._utils.params import Configured
from recokit.candidates import History, ItemKNN, Merge, Popular
from recokit.data import DAY, Dataset, Requests, Retrieved
from recokit.data.sampling import Positives, UniformNegatives, hold_out
from recokit.datasets import load_movielens, make_marketplace
from recokit.errors import ConfigurationError, DataError
from recokit.features import Standard
from recokit.pipeline import Pipeline
from recokit.rankers import LogisticRegression
from recokit.training.audit import audit
from recokit.tuning.search import search


def make_data(n_users=60, n_items=40, n=1200, seed=0):
    """Users of two tastes."""
    rng = np.random.default_rng(seed)
    user = rng.integers(1, n_users + 1, n)
    item = np.minimum(rng.geometric(0.1, n), n_items // 2) + np.where(user % 2, 0, n_items // 2)
    time = np.sort(rng.uniform(0, 40 * DAY, n))
    return Dataset.from_frame(
        {"user": user, "item": item, "timestamp": time},
        users={"user_id": np.arange(1, n_users + 1)},
        items={"item_id": np.arange(1, n_items + 1)},
    )


class Spy(Configured):
    """Notes what it learns from and what it is asked; answers all items in order of their codes."""

    log: list = []  # noqa: RUF012  (shared by the clones)

    def __init__(self, *, first=1, fail=False):
        self.first, self.fail = first, fail

    def fit(self, dataset):
        if self.fail:
            raise ValueError("no luck")
        Spy.log.append(("fit", dataset))
        self.n_, self.fitted_until_ = dataset.n_items, dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        Spy.log.append(("ask", requests))
        items = np.roll(np.arange(1, self.n_ + 1), 1 - self.first)[:limit]
        return Retrieved.from_padded(
            np.tile(items, (len(requests), 1)), np.ones((len(requests), len(items)), np.float32)
        )


@pytest.fixture(autouse=True)
def _empty_log():
    Spy.log.clear()


def pairs_of(data):
    log = data.interactions
    return set(zip(log.user.tolist(), log.item.tolist(), strict=True))


class TestSettings:
    def tried(self, parameters, **options):
        found = search(Spy(), parameters, make_data(), metric="Recall@5", refit=False, **options)
        return [trial.params for trial in sorted(found.trials, key=lambda trial: trial.number)]

    def test_all_combinations_in_order(self):
        tried = self.tried({"first": [1, 2], "fail": (False, True)})
        assert tried == [
            {"first": 1, "fail": False},
            {"first": 1, "fail": True},
            {"first": 2, "fail": False},
            {"first": 2, "fail": True},
        ]
        assert self.tried({}) == [{}]

    def test_a_sample_of_the_combinations(self):
        grid = {"first": range(1, 9), "fail": [False, True]}
        tried = self.tried(grid, n_trials=5)
        assert len({tuple(setting.items()) for setting in tried}) == 5
        assert all(setting["first"] in grid["first"] for setting in tried)
        assert tried == self.tried(grid, n_trials=5) != self.tried(grid, n_trials=5, random_state=1)
        assert len(self.tried(grid, n_trials=99)) == 16

    def test_given_settings(self):
        settings = [{"first": 3}, {"fail": False}, {"first": 4}]
        assert self.tried(settings) == settings
        assert len(self.tried(settings, n_trials=2)) == 2

    def test_distributions(self):
        from scipy.stats import randint

        parameters = {"first": randint(1, 30), "fail": [False]}
        tried = self.tried(parameters, n_trials=6)
        values = [setting["first"] for setting in tried]
        assert len(set(values)) > 2 and all(type(value) is int and 1 <= value < 30 for value in values)
        assert tried == self.tried(parameters, n_trials=6)
        drawn = self.tried({"first": lambda rng: rng.integers(5, 7)}, n_trials=4)
        assert {setting["first"] for setting in drawn} <= {5, 6}

    def test_arrays_become_plain_numbers(self):
        assert all(type(setting["first"]) is int for setting in self.tried({"first": np.array([1, 2])}))

    @pytest.mark.parametrize(
        ("parameters", "options", "words"),
        [
            ({"frist": [1]}, {}, "did you mean 'first'"),
            ({"first": []}, {}, "list of values"),
            ({"first": 3}, {}, r"hint: \[3\]"),
            ({"first": "ab"}, {}, "list of values"),
            ({"first": lambda rng: 1}, {}, "without n_trials"),
            ({"first": [1]}, {"n_trials": 0}, "n_trials=0"),
            ([], {}, "no settings"),
            ({"first": [1]}, {"horizon": "7D"}, "split='time'"),
            ({"first": [1]}, {"split": "time"}, "without cut and horizon"),
            ({"first": [1]}, {"split": "random"}, "split='random'"),
            ({"first": [1]}, {"metric": "Recal@5"}, "did you mean 'Recall'"),
            ({"first": [1]}, {"metric": "CatalogCoverage@5"}, "metric 'CatalogCoverage@5' to decide"),
            ({"first": [1]}, {"metric": ()}, "no metric"),
            ({"first": [1]}, {"share": 1.5}, "share"),
        ],
    )
    def test_errors_come_before_any_trial(self, parameters, options, words):
        with pytest.raises(ConfigurationError, match=words):
            search(Spy(), parameters, make_data(), **options)
        assert not Spy.log

    def test_what_is_varied(self):
        with pytest.raises(ConfigurationError, match="expected a source, or a callable"):
            search(5, {}, make_data())


class TestNothingLeaks:
    def test_holdout(self):
        data = make_data()
        search(Spy(), {"first": [1, 2]}, data, share=0.3, random_state=7)
        train, held = hold_out(data, 0.3, seed=7)
        fits = [part for kind, part in Spy.log if kind == "fit"]
        assert [pairs_of(part) for part in fits] == [pairs_of(train)] * 2 + [pairs_of(data)]
        seen = Positives.of(train)
        for requests in (part for kind, part in Spy.log if kind == "ask"):
            history, exclude = requests.lists("history"), requests.lists("exclude")
            assert seen.contains(requests.user[history.rows], history.values).all()
            assert exclude.counts.tolist() == np.diff(seen.offsets)[requests.user].tolist()
            asked = set(requests.user.tolist())
            assert asked == {user for user, _ in pairs_of(held)}

    def test_time(self):
        data = make_data()
        found = search(Spy(), {"first": [1]}, data, split="time", horizon="10D", refit=False)
        fits = [part for kind, part in Spy.log if kind == "fit"]
        cut = data.until - 10 * DAY
        assert len(fits) == 1 and fits[0].cut == cut and fits[0].interactions.timestamp.max() < cut
        for requests in (part for kind, part in Spy.log if kind == "ask"):
            assert (requests.now == cut).all()
            assert requests.lists("history").columns["timestamp"].max() < cut
        assert "evaluated until" in found.split

    def test_time_by_cut_and_horizon(self):
        data = make_data()
        found = search(
            Spy(), {}, data, split="time", cut=20 * DAY, horizon="5D", allow_seen=True, refit=False
        )
        users = np.unique(data.interactions.between(20 * DAY, 25 * DAY).user)
        assert found.trials[0].n_users == len(users)

    def test_seen_items_are_neither_shown_nor_wanted(self):
        data = make_data()
        train, test = data.split_at(30 * DAY)
        new = {user for user, item in pairs_of(test) - pairs_of(train)}
        options = {"split": "time", "cut": 30 * DAY, "metric": "Recall@40", "refit": False}
        without = search(Spy(), {}, data, **options)
        assert without.trials[0].n_users == len(new)
        assert without.best_score == 1.0  # all 40 items less the excluded ones: the rest is complete
        allowed = search(Spy(), {}, data, allow_seen=True, **options)
        assert allowed.trials[0].n_users == len({user for user, _ in pairs_of(test)})
        again = search(History(half_life=None), {}, data, allow_seen=True, **options)
        assert again.best_score > 0
        assert search(History(half_life=None), {}, data, **options).best_score == 0

    def test_a_source_that_ignores_exclude_is_asked_for_more(self):
        data = make_data()
        found = search(Spy(), {}, data, metric="Recall@3", refit=False)
        train, held = hold_out(data, 0.2)
        truth: dict[int, set[int]] = {}
        for user, item in pairs_of(held):
            truth.setdefault(user, set()).add(item)
        taken = pairs_of(train)
        expected = []
        for user, wanted in truth.items():
            top = [item for item in range(1, 41) if (user, item) not in taken][:3]
            expected.append(len(wanted & set(top)) / len(wanted))
        assert found.best_score == pytest.approx(np.mean(expected))

    def test_no_truth_left(self):
        data = Dataset.from_frame({"user": [1, 1, 1], "item": [1, 2, 1], "timestamp": [1.0, 2.0, 9.0]})
        with pytest.raises(DataError, match="no user with a relevant item"):
            search(Popular(), {}, data, split="time", cut=5.0)


class TestResult:
    def test_best_is_best_and_refit(self):
        data = make_data()
        stage = ItemKNN()
        found = search(
            stage, {"n_neighbors": [1, 30], "shrinkage": [0.0, 50.0]}, data, metric=("NDCG@10", "Recall@5")
        )
        scores = [trial.scores["NDCG@10"] for trial in found.trials]
        assert scores == sorted(scores, reverse=True) and found.best_score == scores[0]
        assert found.best.n_neighbors == found.best_params["n_neighbors"] == 30
        assert found.refitted and found.best.fitted_until_ == data.until
        assert not hasattr(stage, "fitted_until_") and stage.n_neighbors == 100
        assert found.trials[0].tied and not found.trials[-1].tied
        assert all(trial.fit_seconds >= 0 and trial.answer_seconds > 0 for trial in found.trials)
        assert all(trial.low <= trial.scores["NDCG@10"] <= trial.high for trial in found.trials)

    def test_deterministic(self):
        data = make_data()
        first, second = (
            search(ItemKNN(), {"n_neighbors": [1, 5, 30]}, data, n_trials=2, refit=False) for _ in range(2)
        )
        assert [(t.params, t.scores, t.tied) for t in first.trials] == [
            (t.params, t.scores, t.tied) for t in second.trials
        ]
        assert not first.refitted and not hasattr(first.best, "fitted_until_")

    def test_equal_scores_in_order_of_trying(self):
        found = search(Spy(), {"fail": [False], "first": [1, 1, 1]}, make_data(), refit=False)
        assert [trial.number for trial in found.trials] == [0, 1, 2] and all(t.tied for t in found.trials)

    def test_failures_are_told_not_raised(self, capsys):
        found = search(
            Popular(), {"half_life": ["7D", "nonsense", None]}, make_data(), progress=True, metric="Recall@5"
        )
        last = found.trials[-1]
        assert last.params == {"half_life": "nonsense"} and "ConfigurationError" in last.error
        assert "search" in capsys.readouterr().err
        assert "1 failed" in repr(found) and found.best is not None
        failing = search(Spy(fail=True), {"first": [1, 2]}, make_data())
        assert failing.best is None and not failing.refitted
        assert [trial.error for trial in failing.trials] == ["ValueError: no luck"] * 2
        with pytest.raises(ConfigurationError, match=r"all failed.*no luck"):
            _ = failing.best_params

    def test_tables(self):
        found = search(Popular(), {"half_life": ["<7D>", "7D", None]}, make_data(), refit=False)
        head = repr(found).splitlines()[1].split()
        assert head == [
            "half_life",
            "NDCG@20",
            "low",
            "high",
            "tied",
            "fit_seconds",
            "answer_seconds",
            "error",
        ]
        assert "&lt;7D&gt;" in found._repr_html_() and "<7D>" not in found._repr_html_()
        frame = found.to_frame()
        assert frame["NDCG@20"].iloc[0] == found.best_score and len(frame) == 3
        assert found.to_frame("polars").columns == list(frame.columns)
        json.dumps(found.to_dict(), allow_nan=False)
        with pytest.raises(ConfigurationError, match="backend"):
            found.to_frame("excel")
        mixed = search(Spy(), [{"first": 1}, {"fail": True}, {"first": 2.0}], make_data(), refit=False)
        assert mixed.to_frame().shape[0] == 3
        odd = search(lambda x: Popular(), {"x": [1, "a", None, [2]]}, make_data(), refit=False)
        assert set(odd.to_frame()["x"].dropna()) == {"1", "a", "[2]"}

    def test_sample_of_users(self):
        data = make_data()
        found = search(Popular(), {}, data, max_users=7, refit=False)
        assert found.trials[0].n_users == 7
        again = search(Popular(), {}, data, max_users=7, refit=False)
        assert again.best_score == found.best_score
        assert search(Popular(), {}, data, max_users=999, refit=False).trials[0].n_users > 7


class TestWhatIsMade:
    def test_classes_functions_and_merges(self):
        data = make_data()
        by_class = search(ItemKNN, {"n_neighbors": [5]}, data)
        assert by_class.best_score == search(ItemKNN(), {"n_neighbors": [5]}, data).best_score

        def make(n, limit):
            return Merge([ItemKNN(n_neighbors=n), Popular()], limit=limit)

        found = search(make, {"n": [2, 20], "limit": [30]}, data)
        assert isinstance(found.best, Merge) and found.best.sources[0].n_neighbors == found.best_params["n"]
        assert search(make, {"unknown": [1]}, data).trials[0].error.startswith("TypeError")

    def test_stages_are_bound(self):
        data = make_data()
        regional = Popular(by={user: "odd" if user % 2 else "even" for user in range(1, 61)})
        overall = search(Popular(), {}, data).best_score
        assert search(regional, {}, data).best_score > overall

    def test_pipelines(self):
        data = make_marketplace(n_users=60, n_items=40, seed=1).dataset

        def make(c):
            return Pipeline([Popular(), Standard(), LogisticRegression(regularization=c)])

        found = search(
            make,
            {"c": [0.1, 10.0]},
            data,
            split="time",
            horizon="10D",
            metric="NDCG@10",
            fit_options={"label_window": "7D", "windows": 1},
        )
        assert found.best_score > 0 and found.trials[-1].error is None
        assert len(found.best.recommend([None], k=3)) == 1
        train, _ = data.split_at(data.until - 10 * DAY)
        seen = Positives.of(train)
        assert seen.counts.sum() > 0


@pytest.fixture(scope="module")
def ratings(data_dir):
    return load_movielens(data_dir / "ml-100k")


class TestRatings:
    """Explicit ratings as they are, and thresholded."""

    def test_both_readings(self, ratings):
        likes = ratings.at_least(4)
        assert len(ratings.interactions) == 100_000 and len(likes.interactions) == 55_375
        assert ratings.interactions.weight.max() == 5 and set(likes.interactions.weight.tolist()) == {1.0}
        # Wanted are the items that were liked, whichever way they were learned from.
        scores = {}
        for name, data in (("explicit", ratings), ("implicit", likes)):
            found = search(
                ItemKNN(max_history=200), {"n_neighbors": [20, 100]}, data, metric="Recall@20", max_users=300
            )
            assert all(trial.error is None for trial in found.trials)
            popular = search(Popular(half_life=None), {}, data, metric="Recall@20", max_users=300)
            scores[name] = found.best_score
            assert found.best_score > popular.best_score + 0.03
        assert all(score > 0.2 for score in scores.values())

    def test_a_rating_is_a_strength(self, ratings):
        strong = Popular(half_life=None).fit(ratings)
        total = np.bincount(ratings.interactions.item, ratings.interactions.weight)
        assert strong.score_[0] == total.max()
        liked = Popular(half_life=None).fit(ratings.at_least(4))
        counts = np.bincount(ratings.interactions.item[ratings.interactions.weight >= 4])
        assert liked.score_[0] == counts.max()

    def test_negatives_of_likes(self, ratings):
        train, held = hold_out(ratings.at_least(4), 0.2)
        found = audit(UniformNegatives().fit(train), train, held)
        assert found.ok and found.leak is False
        assert found.false_negatives == pytest.approx(found.chance, rel=0.1)
