"""Exposure across requests, and FA*IR."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

import recokit as rk
from benchmarks.fairness import contest, simulate
from recokit import candidates, diversity, metrics, rankers
from recokit.data import Candidates, Vocabulary
from recokit.diversity import ExposureLedger, FairExposure, FairTopK, fair_minimum
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.slates import select

ITEMS = Vocabulary(["a1", "a2", "b1", "b2", "c1", "new"])
SELLERS = np.array(["a", "a", "b", "b", "c", None], object)


def test_exposure_and_targets_are_those_of_the_definition() -> None:
    ledger = ExposureLedger(ITEMS, SELLERS, examination=np.array([1.0, 0.5]))
    eligible = Candidates.from_lists([[1, 2, 3, 6], [5, 3]], scores=[[0.8, 0.4, 0.2, 0.9], [0.5, np.nan]])
    selected = Candidates.from_lists([[1, 6, 3], [5, 3]])
    ledger.count(selected, eligible)
    now = ledger.pin()[1]
    # First list: a has the first place, nobody's item the second, nobody looks at the third. Merits are .6 and .2.
    # Second list: c and b, of whose relevance nothing is known.
    assert now.exposure.tolist() == [0.0, 1.0, 0.5, 1.0]
    assert now.target.tolist() == pytest.approx([0.0, 0.75, 0.25, 1.5])
    assert now.requests == 2
    assert now.owed.tolist() == pytest.approx([0.0, -0.2, -0.2, 0.4])
    assert ledger.table()[0] == {
        "group": "a", "exposure": pytest.approx(0.4), "merit": pytest.approx(0.3), "gap": pytest.approx(1 / 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("merit", "target"), [("sum", [0, 1.2, 0.2]), ({"a": 1.0, "b": 3.0}, [0, 0.35, 1.05])]
)
def test_merit_may_be_a_sum_or_given(merit: object, target: list[float]) -> None:
    ledger = ExposureLedger(
        Vocabulary([1, 2, 3]), np.array(["a", "a", "b"]), examination=[1.0, 0.4], merit=merit
    )
    batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.8, 0.4, 0.2]])
    ledger.count(batch.take(np.array([0, 2]), np.array([0, 1])), batch)
    assert ledger.pin()[1].target.tolist() == pytest.approx(target)


def test_groups_are_told_by_id_whatever_the_codes() -> None:
    ledger = ExposureLedger(ITEMS, SELLERS)
    assert ledger.groups_of(ITEMS).tolist() == [0, 1, 1, 2, 2, 3, 0]
    assert ledger.groups_of(Vocabulary(["c1", "later", "a2"])).tolist() == [0, 3, 0, 1]


def pipeline_of(market: object, ledger: ExposureLedger | None) -> rk.Pipeline:
    stages = [candidates.Popular(half_life=None), rankers.Weighted({"popular_score": 1.0})]
    if ledger is not None:
        stages.append(FairExposure(ledger, objective=diversity.MMR(0.9)))
    observers = [] if ledger is None else [ledger]
    return rk.Pipeline(stages, observers=observers).fit(market.dataset)


def test_a_pipeline_fills_its_ledger_and_both_survive_a_restart(tmp_path: Path) -> None:
    market = rk.datasets.make_marketplace(80, 60, seed=2, n_sellers=8)
    ledger = ExposureLedger.of(market.dataset, "seller")
    pipeline = pipeline_of(market, ledger)
    for _ in range(5):
        result = pipeline.recommend([None], k=5)
    assert ledger.pin()[1].requests == 5
    assert result.trace.versions == {"exposure": 5}
    # The run pinned what it saw: repeated, it gives the same list, although the ledger went on.
    again = pipeline.run(result.trace.requests, observe=False)
    assert again.ids(0) == result.ids(0)

    ledger.save(tmp_path / "ledger")
    pipeline.save(tmp_path / "model")
    loaded = ExposureLedger.load(tmp_path / "ledger")
    assert loaded.pin()[1].exposure.tolist() == ledger.pin()[1].exposure.tolist()
    served = rk.Pipeline.load(tmp_path / "model", observers=[loaded])
    served = served.replace("fair_exposure", FairExposure(loaded, objective=diversity.MMR(0.9)))
    for _ in range(20):
        assert served.recommend([None], k=5).ids(0) == pipeline.recommend([None], k=5).ids(0)
    assert loaded.pin()[1].requests == ledger.pin()[1].requests == 25


def test_without_pay_back_winners_take_all_and_with_it_exposure_follows_merit(tmp_path: Path) -> None:
    world = contest(seed=1)
    plain = simulate(world, 300, strength=0.0)
    fair = simulate(world, 600, strength=0.2, restart=(300, tmp_path / "ledger"))
    through = simulate(world, 600, strength=0.2)
    assert fair.exposure.tolist() == through.exposure.tolist()
    assert np.abs(plain.gap).max() > 0.8
    assert np.abs(fair.gap).max() < 0.1 < np.abs(fair.path[0, 1])
    assert fair.ndcg > 0.98 * plain.ndcg


def test_what_is_no_relevance_is_refused() -> None:
    ledger = ExposureLedger(ITEMS, SELLERS)
    batch = Candidates.from_lists([[1, 2]], scores=[[-1.2, 0.3]])
    with pytest.raises(DataError, match=r"found score -1\.2; expected a relevance of at least 0"):
        ledger.count(batch, batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": SELLERS[:2]}, "2 groups for 6 items"),
        ({"merit": "median"}, "merit='median'"),
        ({"merit": {"z": 1.0}}, "a merit for the group 'z'"),
        ({"merit": {"a": -1.0}}, "merit -1.0 of 'a'"),
        ({"examination": np.array([1.0, -0.5])}, "examination of shape"),
    ],
)
def test_ledgers_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ExposureLedger(ITEMS, **{"group": SELLERS, **options})


def test_fair_exposure_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected an ExposureLedger"):
        FairExposure(3)
    with pytest.raises(ConfigurationError, match="strength=-1"):
        FairExposure(ExposureLedger(ITEMS, SELLERS), -1)
    with pytest.raises(ConfigurationError, match="found Softmax, which draws"):
        FairExposure(ExposureLedger(ITEMS, SELLERS), objective=rk.exploration.Softmax(temperature=0.1))
    rk.data.save_state(tmp_path / "other", {"a": 1})
    with pytest.raises(DataError, match="found dict at"):
        ExposureLedger.load(tmp_path / "other")


# -- FA*IR ------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "expected"),  # Zehlike et al., 2017, table 2: alpha = 0.1, k = 12
    [
        (0.1, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (0.3, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]),
        (0.5, [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4]),
        (0.7, [0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6]),
    ],
)
def test_tables_are_the_published_ones(share: float, expected: list[int]) -> None:
    assert fair_minimum(12, share, adjust=False).tolist() == expected


@given(share=st.floats(0.05, 0.95), alpha=st.floats(0.02, 0.4), k=st.integers(1, 9))
def test_the_adjusted_table_fails_by_chance_at_most_so_often(share: float, alpha: float, k: int) -> None:
    def failing(table: np.ndarray) -> float:
        lost = 0.0
        for draws in itertools.product([0, 1], repeat=k):
            if (np.cumsum(draws) < table).any():
                lost += share ** sum(draws) * (1 - share) ** (k - sum(draws))
        return lost

    adjusted, plain = fair_minimum(k, share, alpha=alpha), fair_minimum(k, share, alpha=alpha, adjust=False)
    assert failing(adjusted) <= alpha + 1e-9
    assert (adjusted <= plain).all()
    if failing(plain) <= alpha - 1e-9:
        assert adjusted.tolist() == plain.tolist()


@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.2, 0.5, 0.8]))
def test_every_prefix_is_fair_and_the_rest_by_score(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    n, k = 40, 12
    protected = np.r_[False, rng.random(n) < 0.4]
    score = rng.random(n) - 0.5 * protected[1:]
    batch = Candidates.from_lists([list(range(1, n + 1))], scores=[score.tolist()])
    found = select(batch, np.array([k]), objective=FairTopK(protected, share, k=k)).index
    table, best = fair_minimum(k, share), np.argsort(-batch.score, kind="stable").tolist()
    # The algorithm of the paper: two queues, and whichever the table or the score asks for.
    queues = {kind: [i for i in best if protected[i + 1] == kind] for kind in (True, False)}
    expected: list[int] = []
    for place in range(k):
        held = int(protected[1:][expected].sum())
        heads = [queue[0] for queue in queues.values() if queue]
        first = min(heads, key=best.index)
        if held < table[place] and queues[True]:
            first = queues[True][0]
        queues[bool(protected[first + 1])].remove(first)
        expected.append(first)
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.0}, "share=1.0"),
        ({"k": 0}, "k=0"),
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"protected": np.ones(3)}, "or bool"),
    ],
)
def test_fair_top_k_out_of_range_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FairTopK(**{"protected": "flag", "share": 0.5, **options})


def test_protected_must_fit_the_data() -> None:
    schema = rk.testing.toy_dataset().schema
    with pytest.raises(ConfigurationError, match="labels or text in item column 'category'"):
        FairTopK("category", 0.5).bind(schema)
    with pytest.raises(ConfigurationError, match="protected for 4 item codes; expected 31"):
        FairTopK(np.zeros(4, np.bool_), 0.5).bind(schema)
    with pytest.raises(NotFittedError, match="FairTopK before bind"):
        select(Candidates.from_lists([[1]], scores=[[1.0]]), np.array([1]), objective=FairTopK("flag", 0.5))


def test_exposure_of_lists_and_its_gap() -> None:
    group = np.array([0, 1, 1, 2])
    exposure = metrics.exposure_by_group([[1, 3, 2], [], [3]], group, examination=[1.0, 0.5])
    assert exposure.tolist() == [0.0, 1.0, 1.5]
    assert metrics.exposure_by_group([[2, 1]], group).tolist() == pytest.approx(
        [0.0, 1 + 1 / np.log2(3), 0.0]
    )
    assert metrics.exposure_gap(exposure[1:], [1.0, 1.0]).tolist() == pytest.approx([-0.2, 0.2])
    assert np.isnan(metrics.exposure_gap([1.0, 1.0], [1.0, 0.0])[1])
    with pytest.raises(DataError, match="item code 4; expected at most 3"):
        metrics.exposure_by_group([[4]], group)
    with pytest.raises(DataError, match="one value a group"):
        metrics.exposure_gap([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="below 0"):
        metrics.exposure_gap([1.0, -1.0], [1.0, 2.0])
