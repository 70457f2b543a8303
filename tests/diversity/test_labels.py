"""Objectives of labels, and facility location, against their definitions written out naively."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import Candidates, Dataset, Ragged, Requests, Window
from recokit.diversity import Calibration, FacilityLocation, Proportional, XQuAD
from recokit.errors import ConfigurationError, ContractError, NotFittedError
from recokit.slates import select
from recokit.testing import toy_dataset

NAMES = ["", "a", "b", "c", "a|b", "b|c|d", "d"]


def sets_of(labels: np.ndarray) -> list[set[str]]:
    return [{part for part in label.split("|") if part} for label in labels.tolist()]


def shares(sets: list[set[str]], weight: list[float] | None = None) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, w in zip(sets, [1.0] * len(sets) if weight is None else weight, strict=True):
        for label in labels:
            found[label] = found.get(label, 0.0) + w / len(labels)
    total = sum(found.values())
    return {label: share / total for label, share in found.items()} if total else {}


def kl_novelty(sets: list[set[str]], target: dict[str, float], i: int, chosen: list[int], _: object) -> float:
    held = shares([sets[j] for j in (*chosen, i)])
    return -sum(p * np.log(p / (0.99 * held.get(g, 0.0) + 0.01 * p)) for g, p in target.items() if p > 0)


def xquad_novelty(
    sets: list[set[str]], target: dict[str, float], i: int, chosen: list[int], relevance: np.ndarray
) -> float:
    return sum(
        target.get(g, 0.0) * relevance[i] * np.prod([1 - relevance[j] for j in chosen if g in sets[j]])
        for g in sets[i]
    )


def seats_novelty(
    sets: list[set[str]], target: dict[str, float], i: int, chosen: list[int], _: object
) -> float:
    places = {g: sum(1 / len(sets[j]) for j in chosen if g in sets[j]) for g in target}
    claim = {g: p / (2 * places[g] + 1) for g, p in target.items()}
    most = max(claim.values(), default=0.0)
    return sum(claim.get(g, 0.0) / most / len(sets[i]) for g in sets[i]) if most else 0.0


DEFINITIONS = {Calibration: kl_novelty, XQuAD: xquad_novelty, Proportional: seats_novelty}


@pytest.mark.parametrize("kind", DEFINITIONS)
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    trade_off=st.sampled_from([0.0, 0.4, 0.8]),
    target=st.sampled_from(["history", "candidates", {"a": 2.0, "d": 1.0}]),
)
def test_every_choice_follows_the_definition(kind: type, seed: int, trade_off: float, target: object) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array(["", "a|d", *rng.choice(NAMES, 29)])  # what is a target is there
    n_rows, n = 3, int(rng.integers(1, 20))
    items = [rng.permutation(np.arange(1, 31))[:n] for _ in range(n_rows)]
    scores = rng.random((n_rows, n)) + np.arange(n) * 1e-3
    past = [rng.integers(0, 31, size).tolist() for size in (0, 3, 12)]
    requests = Requests.build(np.arange(n_rows), ragged={"history": Ragged.from_lists(past)})
    batch = Candidates.from_lists([row.tolist() for row in items], scores=scores.tolist(), requests=requests)
    objective = kind(labels, trade_off, separator="|", target=target)
    found = select(batch, np.full(n_rows, min(n, 7)), objective=objective)
    for b in range(n_rows):
        sets = sets_of(labels[items[b]])
        spread = np.ptp(scores[b])
        relevance = (scores[b] - scores[b].min()) / spread if spread else np.ones(n)
        wanted = shares(sets, relevance.tolist())
        if target == "history":
            wanted = shares(sets_of(labels[past[b]])) or wanted
        elif isinstance(target, dict):
            wanted = {label: share / 3 for label, share in target.items()}
        chosen: list[int] = []
        for i in (found.index[found.offsets[b] : found.offsets[b + 1]] - batch.offsets[b]).tolist():
            rest = [j for j in range(n) if j not in chosen]
            told = [j for j in chosen if sets[j]]
            new = {j: DEFINITIONS[kind](sets, wanted, j, told, relevance) for j in rest if sets[j]}
            mean = float(np.mean(list(new.values()))) if new else 0.0
            gain = {j: trade_off * relevance[j] + (1 - trade_off) * new.get(j, mean) for j in rest}
            assert gain[i] >= max(gain.values()) - 1e-5
            chosen.append(i)


@settings(max_examples=50)
@given(shares=st.lists(st.integers(1, 40), min_size=2, max_size=5, unique=True), k=st.integers(1, 20))
def test_places_are_shared_out_as_seats_are(shares: list[int], k: int) -> None:
    names = "abcde"[: len(shares)]
    labels = np.array(["", *(name for name in names for _ in range(20))])
    n = len(labels) - 1
    batch = Candidates.from_lists([list(range(1, n + 1))], scores=[np.linspace(1, 0, n).tolist()])
    objective = Proportional(labels, 0.0, target=dict(zip(names, map(float, shares), strict=True)))
    found = labels[batch.item[select(batch, np.array([k]), objective=objective).index]].tolist()
    # Sainte-Laguë by its other definition: the k largest of all quotients share / 1, share / 3, share / 5, ...
    quotients = sorted(
        ((s / (2 * j + 1), name) for s, name in zip(shares, names, strict=True) for j in range(20)),
        reverse=True,
    )
    if quotients[k - 1][0] > quotients[k][0] + 1e-6:
        assert sorted(found) == sorted(name for _, name in quotients[:k])


def test_calibration_brings_lists_closer_to_the_history() -> None:
    rng = np.random.default_rng(2)
    labels = np.array(["", *rng.choice(list("abcd"), 200, p=[0.7, 0.1, 0.1, 0.1])])
    past = [np.flatnonzero(labels == "d")[:6].tolist() + np.flatnonzero(labels == "b")[:4].tolist()]
    requests = Requests.build(np.array([1]), ragged={"history": Ragged.from_lists(past)})
    batch = Candidates.from_lists([list(range(1, 201))], scores=[rng.random(200).tolist()], requests=requests)
    found = labels[
        batch.item[select(batch, np.array([10]), objective=Calibration(labels, 0.1), pool=200).index]
    ]
    assert [(found == name).sum() for name in "abcd"] == [0, 4, 0, 6]


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_window_of_some_rows_has_their_own_histories(kind: type) -> None:
    labels = np.array(["", "a", "b", "c", "a"])
    requests = Requests.build(np.array([1, 2]), ragged={"history": Ragged.from_lists([[1], [2]])})
    batch = Candidates.from_lists([[1, 2, 3, 4]] * 2, requests=requests)
    index, relevance = np.arange(8).reshape(2, 4), np.full((2, 4), 0.5, np.float32)
    objective, valid = kind(labels, 0.5), np.ones((2, 4), np.bool_)
    both = objective.gain(objective.start(Window(batch, index, valid, relevance)))
    second = objective.gain(objective.start(Window(batch, index[1:], valid[1:], relevance[1:])))
    assert second.tolist() == both[1:].tolist() != both[:1].tolist()


def test_facility_location_covers_its_candidates() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(41, 5))
    vectors[0] = vectors[7] = 0
    items, scores = rng.permutation(np.arange(1, 41))[:30], rng.random(30)
    batch = Candidates.from_lists([items.tolist()], scores=[scores.tolist()])
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    similarity = np.maximum(unit[items] @ unit[items].T, 0)
    known = np.flatnonzero(items != 7).tolist()
    relevance = (scores - scores.min()) / np.ptp(scores)

    def worth(chosen: list[int]) -> float:
        return float(np.mean([max((similarity[v, j] for j in chosen), default=0.0) for v in known]))

    chosen: list[int] = []
    for i in select(batch, np.array([8]), objective=FacilityLocation(0.1, vectors=vectors)).index.tolist():
        rest = [j for j in range(30) if j not in chosen]
        new = {j: worth([*chosen, j]) - worth(chosen) for j in rest if j in known}
        mean = float(np.mean(list(new.values())))
        gain = {j: 0.1 * relevance[j] + 0.9 * new.get(j, mean) for j in rest}
        assert gain[i] >= max(gain.values()) - 1e-5
        chosen.append(i)


def test_columns_of_any_kind_are_labels() -> None:
    data = toy_dataset()
    assert Calibration("item.category").bind(data.schema).aspects_.labels == tuple(
        sorted(map(str, data.items.labels("category").ids))
    )
    films = Dataset.from_frame(
        {"user_id": [1], "item_id": [1], "timestamp": [0.0]},
        items={"item_id": [1, 2, 3], "genres": ["war|love", "war", None], "year": [1990.0, 1990.0, np.nan]},
        separators={"genres": None},
    )
    genres = XQuAD("genres", separator="|").bind(films.schema).aspects_
    assert genres.labels == ("love", "war")
    assert genres.code.tolist() == [[0, 0], [1, 2], [2, 0], [0, 0]]
    assert Proportional("year").bind(films.schema).aspects_.code[:, 0].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": ""}, "found by=''"),
        ({"by": [1, 1]}, r"found by=\[1, 1\]; expected the name of an item column, or labels"),
        ({"by": []}, "expected the name of an item column, or labels"),
        ({"by": np.int64(3)}, "found by=3; expected the name of an item column, or labels"),
        ({"by": np.ones((3, 2))}, "expected the name of an item column, or labels"),
        ({"by": "category", "trade_off": 2.0}, "trade_off=2.0"),
        ({"by": "category", "pool": 0}, "pool=0"),
        ({"by": "category", "separator": ""}, "separator=''"),
        ({"by": "category", "target": "past"}, "target='past'"),
        ({"by": "category", "target": {"a": -1.0}}, "shares of at least 0"),
        ({"by": "category", "smoothing": 0.0}, "smoothing=0.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Calibration(**options)


def test_what_does_not_fit_the_data_is_refused() -> None:
    schema = toy_dataset().schema
    with pytest.raises(ConfigurationError, match="did you mean 'category'"):
        XQuAD("categry").bind(schema)
    with pytest.raises(ConfigurationError, match="labels for 3 item codes; expected 31"):
        XQuAD(np.array(["", "a", "b"])).bind(schema)
    with pytest.raises(ConfigurationError, match="a target for the label 'zzz'"):
        XQuAD("category", target={"zzz": 1.0}).bind(schema)
    batch = Candidates.from_lists([[1]], scores=[[1.0]])
    with pytest.raises(NotFittedError, match="XQuAD before bind"):
        select(batch, np.array([1]), objective=XQuAD("category"))
    with pytest.raises(ContractError, match="item code 1; expected at most 0"):
        select(batch, np.array([1]), objective=XQuAD(np.array([""])))
