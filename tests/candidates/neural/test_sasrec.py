"""SASRec: it learns orders, answers from histories, and is reproducible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recokit._neural.training import device_of, generator
from recokit._utils.params import clone
from recokit.candidates import AnnIndex, Popular, UserHistory
from recokit.candidates.neural import _transformer
from recokit.candidates.neural._sequences import hold_out, ndcg, padded, recent, sequences
from recokit.candidates.neural.sasrec import SASRec, _batches, _windows
from recokit.data import Dataset, Ragged, Requests, Retrieved, load_state, save_state
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.testing import check_stage

N_ITEMS = 30
SMALL: dict[str, Any] = {
    "n_blocks": 1,
    "n_heads": 1,
    "max_history": 8,
    "batch_size": 32,
    "learning_rate": 0.01,
    "n_threads": 1,
}


def ring(n_users: int = 120, length: int = 8, *, step: int = 1, seed: int = 0) -> Dataset:
    """Return users who walk along a ring of items: what comes next is known from the last item."""
    start = np.random.default_rng(seed).integers(0, N_ITEMS, n_users)
    item = (start[:, None] + step * np.arange(length)) % N_ITEMS
    return Dataset.from_frame(
        {
            "user": np.repeat(np.arange(n_users), length),
            "item": item.ravel(),
            "timestamp": np.tile(np.arange(length), n_users) + np.repeat(start * 0.01, length),
        },
        items={"item_id": np.arange(N_ITEMS + 2)},
    )


def asks(*histories: list[int], **more: Any) -> Requests:
    ragged = {"history": Ragged.from_lists(list(histories))} | more
    return Requests.build(np.zeros(len(histories), np.int64), now=1e4, ragged=ragged)


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def fitted() -> SASRec:
    return SASRec(16, **SMALL, n_epochs=40, patience=10, dropout=0.0, validation_share=0.2).fit(ring(300))


class TestLearning:
    def test_the_next_item_comes_first_where_popularity_is_lost(self, fitted: SASRec) -> None:
        data = ring()
        histories = [[code, code % N_ITEMS + 1] for code in range(1, N_ITEMS + 1)]
        truth = [(code + 1) % N_ITEMS + 1 for code in range(1, N_ITEMS + 1)]
        requests = asks(*histories, exclude=Ragged.from_lists(histories))
        found = [items[0] for items in lists(fitted.retrieve(requests, 1))]
        popular = [items[0] for items in lists(Popular(half_life=None).fit(data).retrieve(requests, 1))]
        assert np.mean(np.array(found) == truth) > 0.9
        assert np.mean(np.array(popular) == truth) < 0.1

    def test_order_matters(self, fitted: SASRec) -> None:
        requests = asks([4, 5, 6], [6, 5, 4], exclude=Ragged.from_lists([[4, 5, 6]] * 2))
        forwards, backwards = lists(fitted.retrieve(requests, 1))
        assert forwards == [7]
        assert backwards != forwards

    def test_the_sampled_loss_learns_too(self) -> None:
        model = SASRec(16, **SMALL, n_epochs=25, dropout=0.1, loss="sampled", n_negatives=20, validation=None)
        found = lists(model.fit(ring()).retrieve(asks(*[[code] for code in range(1, N_ITEMS)]), 1))
        assert np.mean([items[0] == code + 2 for code, items in enumerate(found)]) > 0.8

    def test_heavier_events_are_what_is_learned(self) -> None:
        log = {
            "user": np.repeat(np.arange(60), 2),
            "item": np.array([[1, 2] if user % 3 else [1, 3] for user in range(60)]).ravel(),
            "timestamp": np.tile([1, 2], 60),
            "weight": np.array([[1.0, 0.1] if user % 3 else [1.0, 5.0] for user in range(60)]).ravel(),
        }
        options: dict[str, Any] = {**SMALL, "n_epochs": 15, "validation": None}
        assert lists(SASRec(8, **options).fit(Dataset.from_frame(log)).retrieve(asks([1]), 1)) == [[3]]
        log["weight"] = np.ones(120)
        assert lists(SASRec(8, **options).fit(Dataset.from_frame(log)).retrieve(asks([1]), 1)) == [[2]]

    def test_older_events_fade(self) -> None:
        item = np.array([[1, 2] if user < 40 else [1, 3] for user in range(60)]).ravel()
        when = np.array([[0, 1] if user < 40 else [9, 10] for user in range(60)]).ravel() * 86_400.0
        data = Dataset.from_frame({"user": np.repeat(np.arange(60), 2), "item": item, "timestamp": when})
        options: dict[str, Any] = {**SMALL, "n_epochs": 15, "validation": None}
        assert lists(SASRec(8, **options).fit(data).retrieve(asks([1]), 1)) == [[2]]
        assert lists(SASRec(8, half_life="1D", **options).fit(data).retrieve(asks([1]), 1)) == [[3]]

    def test_it_stops_when_no_epoch_is_better_and_keeps_the_best(self) -> None:
        model = SASRec(16, **SMALL, n_epochs=200, patience=3, dropout=0.1, validation_share=0.5).fit(ring())
        assert len(model.scores_) < 200
        assert model.best_epoch_ == int(np.argmax(model.scores_)) + 1 == len(model.scores_) - 3

    def test_a_refit_trains_on_everything_for_the_best_number_of_epochs(self) -> None:
        options: dict[str, Any] = {**SMALL, "dropout": 0.1}
        data = ring(60)
        model = SASRec(8, **options, n_epochs=6, validation="time", refit=True).fit(data)
        again = SASRec(8, **options, n_epochs=model.best_epoch_, validation=None).fit(data)
        assert same(model.weights_, again.weights_)
        assert len(model.scores_) > 1 and not np.isnan(model.scores_).any()


class TestServing:
    def test_a_new_user_gets_what_one_with_that_history_gets(self, fitted: SASRec) -> None:
        data = ring()
        known = Requests.build(np.array([5, 9]), now=data.until + 1)
        known = known.hydrated({}, UserHistory().fit(data).hydrate(known).ragged)
        new = Requests.build(np.array([0, 0]), now=data.until + 1, ragged={"history": known.lists("history")})
        a, b = fitted.retrieve(known, 10), fitted.retrieve(new, 10)
        assert a.item.tolist() == b.item.tolist() and a.score.tolist() == b.score.tolist()

    def test_nothing_from_nothing(self, fitted: SASRec) -> None:
        unseen = N_ITEMS + 1
        assert lists(fitted.retrieve(asks([], [0, 0], [unseen]), 5)) == [[], [], []]
        assert len(fitted.retrieve(asks(), 5).offsets) == 1

    def test_unknown_and_unseen_items_in_the_history_are_ignored(self, fitted: SASRec) -> None:
        found = fitted.retrieve(asks([3, 4], [0, 3, N_ITEMS + 1, 4, 0]), 5)
        assert lists(found)[0] == lists(found)[1]

    def test_events_without_weight_are_ignored(self, fitted: SASRec) -> None:
        history = Ragged(
            np.array([0, 3, 5]), np.array([3, 9, 4, 3, 4]), {"weight": np.array([1, 0, np.nan, 1, 1.0])}
        )
        found = fitted.retrieve(asks([], [], history=history), 5)
        assert lists(found)[0] == lists(found)[1]

    def test_items_without_events_are_never_returned(self, fitted: SASRec) -> None:
        assert sorted(lists(fitted.retrieve(asks([2]), 100))[0]) == list(range(1, N_ITEMS + 1))

    def test_excluded_items_leave_room_for_others(self, fitted: SASRec) -> None:
        full = lists(fitted.retrieve(asks([2], [2]), 6))[0]
        exclude = Ragged.from_lists([full[:3], []])
        assert lists(fitted.retrieve(asks([2], [2], exclude=exclude), 3)) == [full[3:], full[:3]]

    def test_only_the_last_events_count(self, fitted: SASRec) -> None:
        recently = list(range(1, 9))
        long = np.tile(np.arange(1, N_ITEMS + 1), 3400)[:100_000].tolist() + recently
        a, b = lists(fitted.retrieve(asks(long, recently), 5))
        assert a == b

    def test_a_batch_of_mixed_lengths_equals_singles(self, fitted: SASRec) -> None:
        random = np.random.default_rng(3)
        histories = [random.integers(0, N_ITEMS + 1, n).tolist() for n in random.integers(0, 12, 300)]
        batch = fitted.encode(asks(*histories))
        singles = np.concatenate([fitted.encode(asks(history)) for history in histories])
        np.testing.assert_allclose(batch, singles, atol=1e-5)

    def test_vectors_and_encode_serve_an_index(self, fitted: SASRec) -> None:
        index = AnnIndex(fitted.vectors_, query=fitted.encode).fit(ring())
        requests = asks([1, 2], [8])
        expected = fitted.retrieve(requests, 5).item.tolist()
        assert index.retrieve(requests, 5).item.tolist() == expected
        assert index.bind(ring().schema).retrieve(requests, 5).item.tolist() == expected

    def test_contracts(self) -> None:
        check_stage(SASRec(8, **SMALL, n_epochs=2))

    def test_unfitted(self) -> None:
        for call in (lambda model: model.retrieve(asks([1]), 1), lambda model: model.vectors_):
            with pytest.raises(NotFittedError, match="SASRec"):
                call(SASRec())


class TestReproducibility:
    def test_a_seed_gives_the_same_weights_and_leaves_torch_alone(self) -> None:
        options: dict[str, Any] = {**SMALL, "n_epochs": 2}
        one = SASRec(8, **options).fit(ring(60))
        torch.manual_seed(99)
        state = torch.get_rng_state()
        numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002  # the global state is what must not move
        two = SASRec(8, **options).fit(ring(60))
        assert torch.equal(torch.get_rng_state(), state)
        assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
        assert same(one.weights_, two.weights_)
        assert not same(one.weights_, SASRec(8, **options, random_state=1).fit(ring(60)).weights_)

    def test_threads_are_as_they_were(self, monkeypatch: pytest.MonkeyPatch) -> None:
        used = []
        full_softmax = _transformer.full_softmax
        monkeypatch.setattr(
            _transformer,
            "full_softmax",
            lambda *parts: used.append(torch.get_num_threads()) or full_softmax(*parts),
        )
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            SASRec(8, **{**SMALL, "n_epochs": 1}).fit(ring(20))
            assert torch.get_num_threads() == 3 and set(used) == {1}
        finally:
            torch.set_num_threads(before)

    def test_saved_bit_for_bit(self, fitted: SASRec, tmp_path: Path) -> None:
        save_state(tmp_path / "model", fitted)
        loaded, _ = load_state(tmp_path / "model")
        assert same(loaded.weights_, fitted.weights_) and repr(loaded) == repr(fitted)
        requests = asks([1, 2, 3], [9])
        a, b = fitted.retrieve(requests, 9), loaded.retrieve(requests, 9)
        assert a.item.tolist() == b.item.tolist() and a.score.tobytes() == b.score.tobytes()

    def test_weights_that_cannot_be_written_to(self, fitted: SASRec) -> None:
        model = clone(fitted)
        frozen = {name: array.copy() for name, array in fitted.weights_.items()}
        for array in frozen.values():
            array.flags.writeable = False
        model.weights_, model.trained_ = frozen, fitted.trained_
        assert lists(model.retrieve(asks([1, 2]), 5)) == lists(fitted.retrieve(asks([1, 2]), 5))

    def test_a_training_that_was_interrupted_goes_on(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {**SMALL, "patience": 50}
        data = ring(60)
        straight = SASRec(8, **options, n_epochs=5).fit(data)
        SASRec(8, **options, n_epochs=2, checkpoint=str(tmp_path / "state")).fit(data)
        resumed = SASRec(8, **options, n_epochs=5, checkpoint=str(tmp_path / "state")).fit(data)
        assert same(straight.weights_, resumed.weights_)
        assert straight.scores_.tolist() == resumed.scores_.tolist()

    def test_a_checkpoint_of_something_else(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {**SMALL, "n_epochs": 1, "checkpoint": str(tmp_path / "state")}
        SASRec(8, **options).fit(ring(60))
        with pytest.raises(ConfigurationError, match="another n_factors"):
            SASRec(16, **options).fit(ring(60))
        with pytest.raises(ConfigurationError, match="another data"):
            SASRec(8, **options).fit(ring(61))


class TestEdges:
    @pytest.mark.parametrize(
        "options",
        [
            {"n_factors": 0},
            {"n_factors": 10, "n_heads": 3},
            {"n_blocks": 0},
            {"max_history": 0},
            {"dropout": 1.0},
            {"loss": "bce"},
            {"n_negatives": 0},
            {"half_life": "soon"},
            {"n_epochs": 0},
            {"patience": 0},
            {"batch_size": 0},
            {"n_threads": 0},
            {"learning_rate": 0.0},
            {"learning_rate": float("nan")},
            {"weight_decay": -1.0},
            {"validation": "random"},
            {"validation_share": 0.0},
            {"validation": "time", "validation_share": 1.0},
        ],
    )
    def test_options_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="found"):
            SASRec(**options)

    def test_options_at_their_edge(self) -> None:
        ones = dict.fromkeys(("n_factors", "n_heads", "max_history", "n_epochs", "patience", "n_threads"), 1)
        model = SASRec(**ones, validation="last", validation_share=1.0, half_life="1s", dropout=0.0)
        assert (model.n_factors, model.n_threads, model.validation_share) == (1, 1, 1.0)
        assert SASRec(validation=None).validation is None

    def test_a_device_that_is_not_there(self) -> None:
        with pytest.raises(ConfigurationError, match="device='abacus'"):
            SASRec(device="abacus").fit(ring(10))

    def test_a_catalogue_without_events_and_users_with_one(self) -> None:
        empty = SASRec(8).fit(Dataset.from_frame(None, items={"item_id": [7, 8, 9]}))
        assert lists(empty.retrieve(asks([1]), 5)) == [[]]
        assert empty.best_epoch_ == 0 and len(empty.scores_) == 0
        single = SASRec(8).fit(Dataset.from_frame({"user": [1, 2], "item": [7, 8], "timestamp": [1, 2]}))
        assert sorted(lists(single.retrieve(asks([1]), 5))[0]) == [1, 2]

    def test_duplicates_equal_weights_and_weights_of_zero(self) -> None:
        log = {"user": [1] * 6 + [2] * 3, "item": [1, 1, 2, 2, 3, 3, 1, 2, 9], "timestamp": range(9)}
        weight = np.array([3.0] * 8 + [0.0])
        options: dict[str, Any] = {**SMALL, "n_epochs": 2, "validation": None}
        data = Dataset.from_frame({**log, "weight": weight})
        found = lists(SASRec(8, **options).fit(data).retrieve(asks([1, 1, 1]), 9))[0]
        assert sorted(found) == [1, 2, 3]

    @pytest.mark.parametrize("bad", [np.nan, -1.0])
    def test_weights_that_are_none(self, bad: float) -> None:
        data = ring(10)
        log = data.interactions
        broken = log.replace(weight=np.where(np.arange(len(log)) == 3, bad, 1.0).astype(np.float32))
        with pytest.raises(DataError, match="weight"):
            SASRec(8).fit(data.with_interactions(broken))

    def test_a_loss_that_is_not_finite(self) -> None:
        with pytest.raises(ConfigurationError, match="learning_rate"):
            SASRec(8, **{**SMALL, "learning_rate": 1e38}, n_epochs=5).fit(ring(60))


class TestParts:
    def test_the_blocked_softmax_is_the_cross_entropy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_transformer, "_BLOCK", 1)
        random = generator(device_of("cpu"), 1)
        states = torch.randn(40, 5, generator=random, dtype=torch.float64).requires_grad_()
        items = torch.randn(12, 5, generator=random, dtype=torch.float64).requires_grad_()
        target = torch.randint(1, 12, (40,), generator=random)
        weight = torch.rand(40, generator=random, dtype=torch.float64)
        monkeypatch.setattr(torch, "empty", lambda *shape, **how: torch.zeros(*shape, dtype=torch.float64))
        loss = _transformer.full_softmax(states * 2, items, target, weight)
        got = states.grad, items.grad
        states.grad = items.grad = None
        scores = (states * 2 @ items.T).index_fill(1, torch.tensor([0]), -torch.inf)
        want = (F.cross_entropy(scores, target, reduction="none") * weight).sum() / weight.sum()
        want.backward()
        assert loss == pytest.approx(float(want.detach()))
        torch.testing.assert_close(got, (states.grad, items.grad))

    def test_the_sampled_softmax_with_every_item_drawn_once_is_the_full_one(self) -> None:
        random = generator(device_of("cpu"), 1)
        states = torch.randn(40, 5, generator=random).requires_grad_()
        items = torch.randn(12, 5, generator=random).requires_grad_()
        target = torch.randint(1, 12, (40,), generator=random)
        weight = torch.rand(40, generator=random)
        full = _transformer.full_softmax(states * 1, items, target, weight)
        want = states.grad.clone(), items.grad.clone()
        states.grad = items.grad = None
        negative = torch.arange(1, 12)
        sampled = _transformer.sampled_softmax(
            states * 1, items, target, weight, negative=negative, log_q=torch.zeros(11)
        )
        assert sampled == pytest.approx(full, rel=1e-5)
        torch.testing.assert_close((states.grad, items.grad), want)

    def test_windows_cover_every_next_event_once(self) -> None:
        data = Dataset.from_frame(
            {"user": [1] * 8 + [2] + [3] * 4, "item": range(13), "timestamp": range(13)}
        )
        starts, lengths = _windows(sequences(data, None), 3)
        told = [start + 1 + i for start, length in zip(starts, lengths, strict=True) for i in range(length)]
        assert sorted(told) == [1, 2, 3, 4, 5, 6, 7, 10, 11, 12]
        assert lengths.max() == 3

    def test_batches_deal_every_sequence_once(self) -> None:
        lengths = np.random.default_rng(0).integers(1, 50, 1000)
        batches = _batches(lengths, 32, np.random.default_rng(1))
        assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
        padding = sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum()
        assert padding < 1.3

    def test_held_out_events(self) -> None:
        data = Dataset.from_frame(
            {"user": [1, 1, 2, 1, 2, 3], "item": [5, 6, 5, 7, 5, 8], "timestamp": [1, 2, 3, 4, 5, 6]}
        )
        events = sequences(data, None)
        train, held = hold_out(events, "last", 1.0, 0)
        assert train.item.tolist() == [1, 2, 1, 4] and held is not None
        assert held.user.tolist() == [1]  # user 2's last item is in the history, user 3 has one event
        assert held.history.values.tolist() == [1, 2] and held.truth.values.tolist() == [3]
        train, held = hold_out(events, "time", 0.5, 0)
        assert train.timestamp.max() < 4 and held is not None and held.user.tolist() == [1]
        assert held.now.tolist() == [4.0]
        assert hold_out(events, None, 0.5, 0) == (events, None)
        assert hold_out(events.where(events.user == 3), "last", 0.5, 0)[1] is None

    def test_the_users_judged_are_a_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("recokit.candidates.neural._sequences._MAX_USERS", 7)
        events = sequences(ring(40), None)
        users = [hold_out(events, "last", 1.0, seed)[1] for seed in (0, 0, 1)]
        chosen = [held.user.tolist() for held in users if held is not None]
        assert chosen[0] == chosen[1] != chosen[2] and len(chosen[0]) == 7

    def test_the_gain_of_known_ranks(self) -> None:
        data = Dataset.from_frame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 4], "timestamp": range(4)})
        _, held = hold_out(sequences(data, None), "last", 1.0, 0)
        assert held is not None
        vectors = torch.tensor([[9.0], [5.0], [3.0], [4.0]])
        value = ndcg(held, lambda rows: torch.ones(len(rows), 1), vectors, torch.tensor([0]))
        assert value == pytest.approx((1 / np.log2(3) + 1) / 2)

    def test_padding_and_recent(self) -> None:
        block, counts = padded(Ragged.from_lists([[1, 2], [], [3]]))
        assert block.tolist() == [[1, 2], [0, 0], [3, 0]] and counts.tolist() == [2, 0, 1]
        usable = np.array([False, True, True, False])
        assert recent(asks([1, 3, 2, 9, 1], [3]), usable, 2).values.tolist() == [2, 1]
