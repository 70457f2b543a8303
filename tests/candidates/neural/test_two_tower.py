"""TwoTower: it learns tastes, uses columns and times, gives new items a vector, and is reproducible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recokit.candidates import AnnIndex, Popular, UserHistory
from recokit.candidates.neural import two_tower
from recokit.candidates.neural._sequences import history_weight, sequences
from recokit.candidates.neural._towers import Columns, Inputs, context_codes, in_batch_softmax, pooled
from recokit.candidates.neural.two_tower import TwoTower
from recokit.data import DAY, Dataset, Ragged, Requests, Retrieved, load_state, save_state
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.testing import check_stage

SMALL: dict[str, Any] = {
    "hidden": (16,),
    "batch_size": 128,
    "learning_rate": 0.01,
    "uniform_negatives": 16,
    "n_threads": 1,
}
N_EACH = 12


def tastes(n_users: int = 80, length: int = 8, *, seed: int = 0) -> Dataset:
    """Return users of two tastes; items 1 to 12 are for one, 13 to 24 for the other, 25 to 28 have no events.

    The second taste's users have twice as many events, so its items are the popular ones.
    """
    random = np.random.default_rng(seed)
    users, items = [], []
    for user in range(n_users):
        taste = user % 2
        n = length * (1 + taste)
        users += [user] * n
        items += (1 + taste * N_EACH + random.integers(0, N_EACH, n)).tolist()
    when = random.permutation(len(users)) * 3600.0
    catalogue = np.arange(1, 2 * N_EACH + 5)
    category = ["tea"] * N_EACH + ["nails"] * N_EACH + ["tea", "nails"] * 2
    return Dataset.from_frame(
        {"user": users, "item": items, "timestamp": when},
        users={"user_id": np.arange(n_users + 2), "shop": ["grocer", "smith"] * (n_users // 2 + 1)},
        items={
            "item_id": catalogue,
            "category": category,
            "weight": [1.0 if label == "tea" else 9.0 for label in category],
        },
    )


def asks(*histories: list[int], now: float = 1e7, user: int = 0, **more: Any) -> Requests:
    ragged = {"history": Ragged.from_lists(list(histories))} | more
    return Requests.build(np.full(len(histories), user), now=now, ragged=ragged)


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def right(items: list[int], taste: int) -> float:
    return float(np.mean([(item > N_EACH) == bool(taste) for item in items]))


@pytest.fixture(scope="module")
def fitted() -> TwoTower:
    return TwoTower(8, **SMALL, n_epochs=15).fit(tastes())


@pytest.fixture(scope="module")
def by_content() -> TwoTower:
    return TwoTower(8, **SMALL, item_features=["item.category"], id_dropout=0.3, n_epochs=15).fit(tastes())


class TestLearning:
    def test_tastes_are_told_apart_where_popularity_cannot(self, fitted: TwoTower) -> None:
        requests = asks([1, 2], [14, 20])
        first, second = lists(fitted.retrieve(requests, 8))
        assert right(first, 0) == 1 and right(second, 1) == 1
        assert right(lists(Popular(half_life=None).fit(tastes()).retrieve(requests, 8))[0], 0) == 0

    def test_hard_negatives(self) -> None:
        model = TwoTower(8, **SMALL, n_epochs=12, hard_negatives=4, validation=None).fit(tastes())
        first, second = lists(model.retrieve(asks([3, 5], [15, 22]), 8))
        assert right(first, 0) == 1 and right(second, 1) == 1
        plain = TwoTower(8, **SMALL, n_epochs=12, validation=None).fit(tastes())
        assert not np.array_equal(model.item_vectors_, plain.item_vectors_)

    def test_new_items_get_a_vector_from_their_columns(self, by_content: TwoTower) -> None:
        # Items 25 and 27 are tea, 26 and 28 nails, and none of them has an event.
        exclude = Ragged.from_lists([list(range(1, 25))] * 2)
        first, second = lists(by_content.retrieve(asks([1, 2], [14, 20], exclude=exclude), 2))
        assert sorted(first) == [25, 27] and sorted(second) == [26, 28]

    def test_new_items_count_in_a_history(self, by_content: TwoTower) -> None:
        first, second = lists(by_content.retrieve(asks([25], [26]), 8))
        assert right([item for item in first if item < 25], 0) == 1
        assert right([item for item in second if item < 25], 1) == 1

    def test_numeric_columns_do_the_same(self) -> None:
        options: dict[str, Any] = {**SMALL, "id_dropout": 0.3, "n_epochs": 15}
        model = TwoTower(8, **options, item_features=["weight"]).fit(tastes())
        exclude = Ragged.from_lists([list(range(1, 25))])
        assert sorted(lists(model.retrieve(asks([1, 2], exclude=exclude), 2))[0]) == [25, 27]

    def test_items_of_later_are_encoded_by_their_columns(self, by_content: TwoTower) -> None:
        later = Dataset.from_frame(
            None, items={"item_id": [90, 91, 92], "category": ["nails", "tea", "velvet"], "colour": [1, 2, 3]}
        )
        vectors = by_content.encode_items(later.items)
        assert vectors.shape == (4, 8) and vectors.dtype == np.float32
        np.testing.assert_allclose(vectors[1], by_content.item_vectors_[26], atol=1e-6)
        np.testing.assert_allclose(vectors[2], by_content.item_vectors_[25], atol=1e-6)
        np.testing.assert_allclose(vectors[3], vectors[0], atol=1e-6)
        with pytest.raises(ConfigurationError, match="'category'"):
            by_content.encode_items(Dataset.from_frame(None, items={"item_id": [1, 2]}).items)

    def test_users_without_history_are_known_by_their_columns(self) -> None:
        model = TwoTower(8, **SMALL, user_features=["shop"], n_epochs=15).fit(tastes())
        grocer, smith = (lists(model.retrieve(asks([], user=user), 8))[0] for user in (81, 82))
        assert right(grocer, 0) == 1 and right(smith, 1) == 1
        assert lists(model.retrieve(asks([], user=0), 8)) == [[]]
        assert model.requires == ("history", "user.shop")

    def test_the_moment_of_the_request(self) -> None:
        random = np.random.default_rng(1)
        night = random.random(600) < 0.5
        log = {
            "user": np.repeat(np.arange(300), 2),
            "item": np.where(night, 5, 1) + random.integers(0, 4, 600),
            "timestamp": np.arange(600) * DAY + np.where(night, 23, 9) * 3600.0,
        }
        options: dict[str, Any] = {**SMALL, "n_epochs": 30, "validation": None}
        model = TwoTower(8, **options, context=["hour"]).fit(Dataset.from_frame(log))
        morning, evening = (
            lists(model.retrieve(asks([1, 5], now=700 * DAY + hour * 3600), 4))[0] for hour in (9, 23)
        )
        assert sorted(morning) == [1, 2, 3, 4] and sorted(evening) == [5, 6, 7, 8]

    def test_recent_events_count_more(self) -> None:
        model = TwoTower(8, **SMALL, half_life="1000D", n_epochs=15).fit(tastes())
        now = 10_000 * DAY
        when = np.array([now - 9000 * DAY, now - 9000 * DAY, now - 60.0])
        history = Ragged(np.array([0, 3]), np.array([1, 2, 20]), {"timestamp": when})
        assert right(lists(model.retrieve(asks([], now=now, history=history), 6))[0], 1) == 1
        swapped = Ragged(np.array([0, 3]), np.array([1, 2, 20]), {"timestamp": when[::-1].copy()})
        assert right(lists(model.retrieve(asks([], now=now, history=swapped), 6))[0], 0) == 1

    def test_it_stops_when_no_epoch_is_better_and_keeps_the_best(self) -> None:
        model = TwoTower(8, **SMALL, n_epochs=100, patience=2, validation="last").fit(tastes())
        assert len(model.scores_) < 100
        assert model.best_epoch_ == int(np.argmax(model.scores_)) + 1 == len(model.scores_) - 2

    def test_a_refit_trains_on_everything_for_the_best_number_of_epochs(self) -> None:
        options: dict[str, Any] = {**SMALL, "half_life": "30D"}
        model = TwoTower(8, **options, n_epochs=4, refit=True).fit(tastes())
        again = TwoTower(8, **options, n_epochs=model.best_epoch_, validation=None).fit(tastes())
        assert same(model.weights_, again.weights_)
        assert np.isfinite(model.scores_).all()


class TestServing:
    def test_a_new_user_gets_what_one_with_that_history_gets(self, fitted: TwoTower) -> None:
        data = tastes()
        known = Requests.build(np.array([5, 9]), now=data.until + 1)
        known = known.hydrated({}, UserHistory().fit(data).hydrate(known).ragged)
        new = Requests.build(np.array([0, 0]), now=data.until + 1, ragged={"history": known.lists("history")})
        a, b = fitted.retrieve(known, 10), fitted.retrieve(new, 10)
        assert a.item.tolist() == b.item.tolist() and a.score.tolist() == b.score.tolist()

    def test_nothing_from_nothing(self, fitted: TwoTower) -> None:
        assert lists(fitted.retrieve(asks([], [0], [26]), 5)) == [[], [], []]
        assert len(fitted.retrieve(asks(), 5).offsets) == 1

    def test_only_items_with_events_without_item_features(
        self, fitted: TwoTower, by_content: TwoTower
    ) -> None:
        assert sorted(lists(fitted.retrieve(asks([2]), 100))[0]) == list(range(1, 25))
        assert sorted(lists(by_content.retrieve(asks([2]), 100))[0]) == list(range(1, 29))

    def test_unknown_items_and_events_without_weight_are_ignored(self, fitted: TwoTower) -> None:
        found = fitted.retrieve(asks([3, 4], [0, 3, 26, 4]), 5)
        assert lists(found)[0] == lists(found)[1]
        weight = np.array([1, 0, np.nan, 1, 1.0])
        history = Ragged(np.array([0, 3, 5]), np.array([3, 20, 4, 3, 4]), {"weight": weight})
        found = fitted.retrieve(asks([], [], history=history), 5)
        assert lists(found)[0] == lists(found)[1]

    def test_heavier_events_count_more(self, fitted: TwoTower) -> None:
        history = Ragged(np.array([0, 2, 4]), np.array([3, 20, 3, 20]), {"weight": np.array([9.0, 1, 1, 9])})
        first, second = lists(fitted.retrieve(asks([], [], history=history), 6))
        assert right(first, 0) > right(second, 0) and (first[0], second[0]) == (3, 20)

    def test_excluded_items_leave_room_for_others(self, fitted: TwoTower) -> None:
        full = lists(fitted.retrieve(asks([2]), 6))[0]
        exclude = Ragged.from_lists([full[:3]])
        assert lists(fitted.retrieve(asks([2], exclude=exclude), 3)) == [full[3:]]

    def test_a_long_history_counts_by_its_last_events(self) -> None:
        model = TwoTower(8, **SMALL, max_history=4, n_epochs=2).fit(tastes())
        a, b = lists(model.retrieve(asks([13] * 100_000 + [1, 2, 3, 4], [1, 2, 3, 4]), 5))
        assert a == b

    def test_a_batch_equals_singles(self, by_content: TwoTower) -> None:
        random = np.random.default_rng(3)
        histories = [random.integers(0, 29, n).tolist() for n in random.integers(0, 12, 200)]
        singles = np.concatenate([by_content.encode(asks(history)) for history in histories])
        np.testing.assert_allclose(by_content.encode(asks(*histories)), singles, atol=1e-5)

    def test_vectors_and_encode_serve_an_index(self, by_content: TwoTower) -> None:
        index = AnnIndex(by_content.vectors_, query=by_content.encode).fit(tastes())
        requests = asks([1, 2], [18])
        assert index.retrieve(requests, 5).item.tolist() == by_content.retrieve(requests, 5).item.tolist()

    def test_contracts(self) -> None:
        check_stage(TwoTower(8, **SMALL, n_epochs=2, context=["hour", "weekday", "month"]))

    def test_unfitted(self) -> None:
        model = TwoTower(item_features=["category"])
        for call in (
            lambda: model.retrieve(asks([1]), 1),
            lambda: model.vectors_,
            lambda: model.encode_items(tastes().items),
        ):
            with pytest.raises(NotFittedError, match="TwoTower"):
                call()


class TestReproducibility:
    def test_a_seed_gives_the_same_weights_and_leaves_torch_alone(self) -> None:
        options: dict[str, Any] = {**SMALL, "n_epochs": 2, "hard_negatives": 2}
        options["item_features"] = ["category"]
        one = TwoTower(8, **options).fit(tastes())
        torch.manual_seed(99)
        state = torch.get_rng_state()
        two = TwoTower(8, **options).fit(tastes())
        assert torch.equal(torch.get_rng_state(), state)
        assert same(one.weights_, two.weights_)
        assert not same(one.weights_, TwoTower(8, **options, random_state=1).fit(tastes()).weights_)

    def test_saved_bit_for_bit(self, by_content: TwoTower, tmp_path: Path) -> None:
        save_state(tmp_path / "model", by_content)
        loaded, _ = load_state(tmp_path / "model")
        assert same(loaded.weights_, by_content.weights_) and repr(loaded) == repr(by_content)
        a, b = by_content.retrieve(asks([1, 2], [26]), 9), loaded.retrieve(asks([1, 2], [26]), 9)
        assert a.item.tolist() == b.item.tolist() and a.score.tobytes() == b.score.tobytes()
        items = tastes().items
        assert loaded.encode_items(items).tobytes() == by_content.encode_items(items).tobytes()

    def test_a_training_that_was_interrupted_goes_on(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {**SMALL, "patience": 50, "hard_negatives": 2}
        straight = TwoTower(8, **options, n_epochs=5).fit(tastes())
        TwoTower(8, **options, n_epochs=2, checkpoint=str(tmp_path / "state")).fit(tastes())
        resumed = TwoTower(8, **options, n_epochs=5, checkpoint=str(tmp_path / "state")).fit(tastes())
        assert same(straight.weights_, resumed.weights_)
        with pytest.raises(ConfigurationError, match="another temperature"):
            TwoTower(8, **options, temperature=0.2, checkpoint=str(tmp_path / "state")).fit(tastes())


class TestEdges:
    @pytest.mark.parametrize(
        "options",
        [
            {"n_factors": 0},
            {"max_history": 0},
            {"uniform_negatives": -1},
            {"hard_negatives": -1},
            {"hidden": (0,)},
            {"temperature": 0.0},
            {"id_dropout": 1.0},
            {"half_life": "soon"},
            {"item_features": "category"},
            {"context": ["minute"]},
            {"validation": "random"},
            {"n_epochs": 0},
        ],
    )
    def test_options_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="found"):
            TwoTower(**options)

    def test_unknown_columns(self, fitted: TwoTower) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'category'"):
            TwoTower(item_features=["categry"]).fit(tastes())
        with pytest.raises(ConfigurationError, match="user column 'age'"):
            TwoTower(user_features=["user.age"]).fit(tastes())
        with pytest.raises(ConfigurationError, match="item_features"):
            fitted.encode_items(tastes().items)

    def test_a_catalogue_without_events(self) -> None:
        data = Dataset.from_frame(None, items={"item_id": [7, 8, 9], "category": ["a", "a", "b"]})
        assert lists(TwoTower(8).fit(data).retrieve(asks([1]), 5)) == [[]]
        model = TwoTower(8, item_features=["category"]).fit(data)
        assert sorted(lists(model.retrieve(asks([1]), 5))[0]) == [1, 2, 3]
        assert model.best_epoch_ == 0

    def test_users_with_one_event_and_duplicates(self) -> None:
        single = Dataset.from_frame({"user": [1, 2], "item": [7, 8], "timestamp": [1, 2]})
        assert sorted(lists(TwoTower(8).fit(single).retrieve(asks([1]), 5))[0]) == [1, 2]
        again = Dataset.from_frame({"user": [1] * 6, "item": [7, 7, 7, 8, 8, 7], "timestamp": range(6)})
        model = TwoTower(8, **SMALL, n_epochs=2, hard_negatives=2, validation=None).fit(again)
        assert sorted(lists(model.retrieve(asks([1, 1]), 5))[0]) == [1, 2]

    @pytest.mark.parametrize("bad", [np.nan, -1.0])
    def test_weights_that_are_none(self, bad: float) -> None:
        data = tastes()
        log = data.interactions
        broken = log.replace(weight=np.where(np.arange(len(log)) == 3, bad, 1.0).astype(np.float32))
        with pytest.raises(DataError, match="weight"):
            TwoTower(8).fit(data.with_interactions(broken))


class TestParts:
    def test_the_loss_is_that_of_a_loop(self) -> None:
        random = torch.Generator().manual_seed(0)
        users, pool, hard = (torch.randn(*shape, generator=random) for shape in ((3, 4), (5, 4), (3, 2, 4)))
        log_q, weight = torch.rand(5, generator=random), torch.tensor([1.0, 2.0, 0.5])
        hits = np.zeros((3, 5), np.bool_)
        hits[0, 3] = hits[2, 1] = True
        real = torch.tensor([[True, False], [True, True], [False, False]])
        got = in_batch_softmax(
            users, pool, log_q=log_q, hits=hits, weight=weight, temperature=0.5, hard=hard, real=real
        )
        total = 0.0
        for b in range(3):
            scores = [float(users[b] @ pool[c]) / 0.5 - float(log_q[c]) for c in range(5) if not hits[b, c]]
            scores += [float(users[b] @ hard[b, h]) / 0.5 for h in range(2) if real[b, h]]
            own = float(users[b] @ pool[b]) / 0.5 - float(log_q[b])
            total += float(weight[b]) * (np.log(np.sum(np.exp(scores))) - own)
        assert float(got) == pytest.approx(total / 3.5, rel=1e-5)

    def test_the_correction_is_what_is_expected_of_the_pool(self) -> None:
        data = tastes()
        model = TwoTower(8, **SMALL)
        run = self._run(model, data)
        pool = np.arange(1, 25)
        got = np.exp(run._log_expected(pool, 128))
        share = np.bincount(data.interactions.item, minlength=29)[1:25] / len(data.interactions)
        np.testing.assert_allclose(got, 128 * share + 16 / 24, rtol=1e-5)

    def test_mined_items_are_not_the_users_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(two_tower, "_MINED", 3)
        data = tastes()
        model = TwoTower(8, **SMALL, n_epochs=1).fit(data)
        run = self._run(model, data)
        run.weights = {name: torch.from_numpy(array) for name, array in model.weights_.items()}
        mined = run._mine()
        assert mined.shape == (83, 3) and (mined[1:81] > 0).any(axis=1).all() and not mined[81:].any()
        for user in range(1, 81):
            assert not set(mined[user].tolist()) & set(run.events.item[run.events.user == user].tolist())

    def test_an_epoch_takes_every_example_once_and_mines_from_the_second_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = tastes()
        model = TwoTower(8, **SMALL, n_epochs=1, hard_negatives=2, random_state=-3).fit(data)
        run = self._run(model, data)
        batches: list[np.ndarray] = []

        def loss(event: Any, numbers: Any, random: Any) -> torch.Tensor:
            batches.append(event)
            return torch.zeros(1, requires_grad=True).sum()

        monkeypatch.setattr(run, "_loss", loss)
        monkeypatch.setattr(run, "_mine", lambda: np.ones((83, 5), np.int64))
        for epoch in (0, 1):
            batches.clear()
            assert len(list(run.steps(epoch))) == -(-run.n_examples // 128)
            seen = np.concatenate(batches)
            assert sorted(seen.tolist()) == run.examples.tolist() != seen.tolist()
            assert {len(batch) for batch in batches[:-1]} <= {128}
            assert run.mined.shape[1] == 5 * epoch

    def test_a_batch_sees_what_came_before_and_masks_what_the_user_took(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = tastes()
        options: dict[str, Any] = {**SMALL, "n_epochs": 1, "max_history": 3}
        model = TwoTower(8, **options, half_life="1D").fit(data)
        run = self._run(model, data)
        event = run.examples[[0, 5, 200, 301]]
        before = run._before(event)
        for row, index in enumerate(event.tolist()):
            start = run.events.offsets[run.user[index]]
            own = slice(before.offsets[row], before.offsets[row + 1])
            assert before.values[own].tolist() == run.events.item[max(start, index - 3) : index].tolist()
        given: dict[str, Any] = {}

        def softmax(users: torch.Tensor, items: torch.Tensor, **parts: Any) -> torch.Tensor:
            given.update(parts, n_items=len(items))
            return users.sum()

        monkeypatch.setattr(two_tower._towers, "in_batch_softmax", softmax)
        run._loss(event, np.random.default_rng(0), torch.Generator())
        drawn = run.catalogue[np.random.default_rng(0).integers(0, len(run.catalogue), 16)]
        pool = [*run.events.item[event].tolist(), *drawn.tolist()]
        for row, index in enumerate(event.tolist()):
            taken = set(run.events.item[run.user == run.user[index]].tolist())
            expected = [item in taken and place != row for place, item in enumerate(pool)]
            assert np.asarray(given["hits"])[row].tolist() == expected
        age = (data.until - run.events.timestamp[event]) / DAY
        np.testing.assert_allclose(given["weight"], run.events.weight[event] * 0.5**age, rtol=1e-5)
        assert given["n_items"] == len(pool) and given["temperature"] == 0.1

    def test_pooling_is_a_weighted_mean(self) -> None:
        base = torch.arange(8.0).reshape(4, 2)
        history = Ragged.from_lists([[1, 3], [], [2]])
        mean = pooled(base, history, np.array([3.0, 1.0, 7.0], np.float32))
        assert mean.tolist() == [[3.0, 4.0], [0.0, 0.0], [4.0, 5.0]]

    def test_weights_of_a_history(self) -> None:
        history = Ragged(
            np.array([0, 2, 3]),
            np.array([1, 2, 3]),
            {"timestamp": np.array([0, DAY, np.nan]), "weight": np.array([1, 2, np.nan], np.float32)},
        )
        assert history_weight(history, np.array([2 * DAY, DAY]), "1D").tolist() == [0.5, 2.0, 1.0]
        assert history_weight(history, np.array([9e9, DAY]), "1D").tolist() == [0.5, 2.0, 1.0]
        assert history_weight(Ragged.from_lists([[1]]), np.zeros(1), "1D").tolist() == [1.0]

    def test_codes_of_moments(self) -> None:
        codes = context_codes(["hour", "weekday", "month"], np.array([0.0, 1_512_086_400.0 + 23.5 * 3600]))
        assert {name: values.tolist() for name, values in codes.items()} == {
            "hour": [1, 24],
            "weekday": [4, 5],
            "month": [1, 12],
        }

    def test_missing_numbers_are_told_from_average_ones(self) -> None:
        table = Dataset.from_frame(
            None, items={"item_id": [1, 2, 3], "price": [1.0, 3.0, np.nan], "flat": [2, 2, 2]}
        ).items
        columns = Columns.of(table, ["price", "flat"], "item")
        assert columns.numeric[1:].tolist() == [[-1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
        assert columns.numeric[0].tolist() == [0, 0, 1, 1]

    @staticmethod
    def _run(model: TwoTower, data: Dataset) -> Any:
        none = Inputs(Columns.of(data.items, [], "item"), Columns.of(data.users, [], "user"), ())
        return two_tower._Run(model, sequences(data, None), data, none, torch.device("cpu"))


def test_all_that_is_returned_is_nearest() -> None:
    model = TwoTower(8, **SMALL, n_epochs=1).fit(tastes())
    requests = asks([1, 2, 3])
    scores = torch.from_numpy(model.encode(requests)) @ torch.from_numpy(model.item_vectors_).T
    assert (
        F.normalize(torch.from_numpy(model.item_vectors_[1:25]), dim=1).norm(dim=1).allclose(torch.ones(24))
    )
    want = np.argsort(-scores[0, 1:25].numpy(), kind="stable")[:5] + 1
    assert lists(model.retrieve(requests, 5)) == [want.tolist()]
