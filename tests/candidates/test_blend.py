"""Blend: the weighted sum, and weights that a validation part decides on."""

from __future__ import annotations

import numpy as np
import pytest

from recokit import candidates
from recokit.candidates import Blend, FromFunction, Popular
from recokit.compose.step import Step
from recokit.data import Dataset, Ragged, Requests
from recokit.errors import ConfigurationError


def fixed(name: str, *lists: list[int]) -> FromFunction:
    return FromFunction(lambda requests, limit: [lists[0][:limit]] * len(requests), name=name, codes=True)


def ask(source: object, limit: int = 10, **ragged: Ragged) -> tuple[list[int], list[float]]:
    found = source.retrieve(Requests.build(np.array([0]), ragged=ragged), limit)
    return found.item.tolist(), found.score.tolist()


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Users who take three items of their own group each day, among popular ones that nobody takes twice a month."""
    rng = np.random.default_rng(1)
    user = np.repeat(np.arange(1, 101), 30)
    item = (user % 10) * 10 + rng.integers(1, 11, len(user))
    return Dataset.from_frame(
        {"user": user, "item": item, "timestamp": rng.permutation(len(user)).astype(float)}
    )


def test_ranks_are_added_up_by_weight() -> None:
    blend = Blend([fixed("a", [1, 2, 3]), fixed("b", [3, 4])], weights=[0.75, 0.25], by="rank")
    items, score = ask(blend)
    want = {1: 0.75, 2: 0.75 * 10 / 11, 3: 0.75 * 10 / 12 + 0.25, 4: 0.25 * 10 / 11}
    assert items == sorted(want, key=lambda item: -want[item])
    assert score == pytest.approx(sorted(want.values(), reverse=True), rel=1e-6)


def test_scores_count_over_that_of_the_first(data: Dataset) -> None:
    popular = Popular(half_life=None).fit(data)
    blend = Blend([Popular(half_life=None)], weights=[1.0]).fit(data)
    items, score = ask(blend, 20)
    alone, plain = ask(popular, 20)
    assert items == alone
    assert score == pytest.approx(np.array(plain) / plain[0], rel=1e-6)


def test_excluded_items_take_no_place() -> None:
    blend = Blend([fixed("a", [1, 2, 3, 4])], weights=[1.0], by="rank")
    assert ask(blend, 2, exclude=Ragged.from_lists([[1, 3]]))[0] == [2, 4]


def test_what_orders_the_newest_events_best_gets_the_weight(data: Dataset) -> None:
    sources = [Popular(half_life=None), candidates.History(half_life=None), candidates.Explore()]
    blend = Blend(sources).fit(data)
    assert blend.weights_.sum() == pytest.approx(1.0)
    assert blend.weights_[1] > 0.5
    assert blend.weights_[2] < 0.2


def test_a_blend_is_at_least_as_good_as_its_best_source_where_it_was_learned(data: Dataset) -> None:
    from recokit.candidates import blend as module

    train, held = module._parts(data, 0)
    requests, truth = module._asked(train, held, 0)
    sources = [Popular(half_life=None), candidates.History(half_life=None)]
    lists = [source.fit(train).retrieve(requests, 200) for source in sources]
    values = module._Values.of(lists, "score", len(requests))
    weights = values.best_weights(truth, 10)

    def ndcg(weights: np.ndarray) -> float:
        total = values.of_pair @ weights
        found = []
        for row in range(len(requests)):
            here = slice(values.offsets[row], values.offsets[row + 1])
            order = np.lexsort((np.arange(here.stop - here.start), -total[here].astype(np.float32)))[:10]
            wanted = truth.values[truth.offsets[row] : truth.offsets[row + 1]]
            hit = np.isin(values.item[here][order], wanted)
            ideal = (1 / np.log2(np.arange(min(len(wanted), 10)) + 2)).sum()
            found.append((hit / np.log2(np.arange(len(hit)) + 2)).sum() / ideal)
        return float(np.mean(found))

    assert ndcg(weights) >= max(ndcg(np.array([1.0, 0.0])), ndcg(np.array([0.0, 1.0]))) - 1e-9


def test_the_validation_part_is_the_newest_tenth(data: Dataset) -> None:
    from recokit.candidates import blend as module

    train, held = module._parts(data, 0)
    assert train.until <= held.interactions.timestamp.min()
    assert len(held.interactions) == pytest.approx(0.1 * len(data.interactions), rel=0.02)


def test_without_times_items_are_held_out() -> None:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, 41), 10)
    item = (user % 4) * 20 + np.tile(rng.permutation(20)[:10], 40) + 1
    blend = Blend([Popular(half_life=None), candidates.ItemKNN()]).fit(
        Dataset.from_frame({"user": user, "item": item, "timestamp": np.zeros(len(user))})
    )
    assert blend.weights_.sum() == pytest.approx(1.0)


def test_too_little_to_learn_from_gives_equal_weights() -> None:
    few = Dataset.from_frame({"user": [1, 2], "item": [1, 2], "timestamp": [0.0, 0.0]})
    assert Blend([Popular(), candidates.ItemKNN()]).fit(few).weights_.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Blend([]),
        lambda: Blend([Popular(), Popular()]),
        lambda: Blend([Popular()], weights=[1.0, 2.0]),
        lambda: Blend([Popular()], weights=[0.0]),
        lambda: Blend([Popular()], weights=[float("nan")]),
        lambda: Blend([Popular()], by="votes"),
        lambda: Blend([Popular()], depth=0),
    ],
)
def test_what_cannot_work_is_refused(make: object) -> None:
    with pytest.raises(ConfigurationError):
        make()


def test_steps_name_sources_of_one_kind(data: Dataset) -> None:
    sources = [Step(Popular(half_life=None), name="ever"), Step(Popular(half_life="10s"), name="lately")]
    assert len(Blend(sources).fit(data).weights_) == 2
