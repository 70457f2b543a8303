"""Switchback, bandits, monitors' groups, list logs and disclosure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, experiments as ex, monitoring, off_policy
from recokit._stats.moments import Estimate
from recokit.errors import ConfigurationError, DataError

HOUR = 3_600.0
ARMS: dict[str, Any] = {"control": object(), "new": object()}


# -- switchback -----------------------------------------------------------------------------------------


def test_each_block_has_each_arm_once_and_regions_are_independent() -> None:
    test = ex.Switchback("s", {**ARMS, "third": object()}, period="1h", region="city")
    times = np.arange(300) * HOUR
    found = {
        city: test.assign([None] * 300, context={"city": np.full(300, city, object)}, now=times).arm
        for city in ("Bonn", "Köln")
    }
    for arm in found.values():
        assert all(sorted(block) == [0, 1, 2] for block in arm.reshape(100, 3).tolist())
    assert 0.2 < (found["Bonn"] == found["Köln"]).mean() < 0.47


def test_a_period_is_one_cell_to_its_last_moment() -> None:
    test = ex.Switchback("s", ARMS, period="1h")
    found = test.assign(["a", "b", "c"], now=[0.0, HOUR - 0.001, HOUR])
    assert found.unit.tolist() == ["all|0", "all|0", "all|1"] and found.arm[0] == found.arm[1] != found.arm[2]


def test_served_takes_it_as_any_experiment() -> None:
    data = rk.testing.toy_dataset()
    old = rk.Pipeline([candidates.Popular()]).fit(data)
    new = rk.Pipeline([candidates.ItemKNN()]).fit(data)
    rows: list[Any] = []
    test = ex.Switchback("s", {"control": old, "new": new}, period="1h", region="city")
    served = ex.Served(test, observers=[ex.Exposures(rows.extend, flush_rows=1)])
    for hour in range(4):
        served.recommend(["user-1", "user-2"], k=2, now=hour * HOUR, context={"city": ["Bonn", "Köln"]})
    assert {row["unit"] for row in rows} == {
        f"{city}|{hour}" for city in ("Bonn", "Köln") for hour in range(4)
    }
    with pytest.raises(DataError, match="city"):
        served.recommend(["user-1"], now=0.0)


def test_cells_are_read_without_what_is_carried_over() -> None:
    rng, test = np.random.default_rng(0), ex.Switchback("s", ARMS, period="1h", region="city", gap="10min")
    n = 60_000
    times, city = 400 * HOUR * rng.random(n), np.array(["a", "b", "c"], object)[rng.integers(0, 3, n)]
    arm = test.assign([None] * n, context={"city": city}, now=times).arm
    before = test.assign([None] * n, context={"city": city}, now=times - 600.0).arm
    # For ten minutes the old arm still works.
    sold = rng.random(n) < np.where(before == 1, 0.6, 0.4)
    assert (before != arm).any()
    events = {"timestamp": times, "city": city, "sold": sold.astype(float), "lists": np.ones(n)}
    log, cells = test.cells(events)
    found = ex.analyze(log, cells, primary=ex.Ratio("sold", "lists"))["sold / lists"]
    assert found.interval[0] < 0.2 < found.interval[1] and found.finding == "better"
    assert found.difference.control.n + found.difference.treatment.n == 1_200
    without_gap = ex.Switchback("s", ARMS, period="1h", region="city")
    carried = ex.analyze(*without_gap.cells(events), primary=ex.Ratio("sold", "lists"))["sold / lists"]
    assert carried.value < found.value


def test_impossible_switchbacks_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="gap"):
        ex.Switchback("s", ARMS, period="1h", gap="1h")
    with pytest.raises(ConfigurationError, match="two"):
        ex.Switchback("s", {"only": object()})


# -- bandits ----------------------------------------------------------------------------------------------


def run_bandit(seed: int, lift: float, batches: int = 8, n: int = 400) -> ex.Allocation:
    rng, bandit = np.random.default_rng(seed), ex.Allocation(["control", "new"], floor=0.1)
    for _ in range(batches):
        arm = rng.random(n) < bandit.weights["new"]
        reward = rng.normal(1.0 + lift * arm, 1.0)
        bandit.update(
            {
                name: Estimate(float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))), len(x))
                for name, x in (("control", reward[~arm]), ("new", reward[arm]))
            }
        )
    return bandit


def test_the_better_arm_gets_more_and_no_arm_less_than_the_floor() -> None:
    bandit = run_bandit(1, lift=0.3)
    assert bandit.weights["new"] > 0.85
    for weights in bandit.history:
        assert min(weights.values()) >= 0.1 - 1e-12 and sum(weights.values()) == pytest.approx(1.0)


def test_intervals_hold_the_truth_although_shares_follow_the_data() -> None:
    held = 0
    for seed in range(300):
        _, low, high = run_bandit(seed, lift=0.0).difference("new")
        held += low <= 0.0 <= high
    assert held / 300 >= 0.91


def test_what_was_logged_is_read_by_off_policy() -> None:
    rng, weights = np.random.default_rng(3), [{"a": 0.5, "b": 0.5}, {"a": 0.2, "b": 0.8}]
    batch = np.repeat([0, 1], 2_000)
    arm = np.where(rng.random(4_000) < np.where(batch == 0, 0.5, 0.2), "a", "b")
    # The second batch is worth more whatever is shown: a plain mean by arm would favour b.
    reward = rng.normal(1.0 + batch + 0.5 * (arm == "a"), 0.5)
    rounds = ex.rounds_of(arm, reward, weights, batch=batch, target="a")
    found = off_policy.estimate(rounds, ["IPS", "SNIPS"])["SNIPS"]
    assert found.low < 2.0 < found.high
    assert reward[arm == "a"].mean() < 1.9


def test_the_next_batch_draws_units_anew() -> None:
    bandit = ex.Allocation(["control", "new"])
    units = [str(i) for i in range(500)]
    first = bandit.experiment("e", ARMS).assign(units, now=0.0).arm
    bandit.update({"control": Estimate(0.0, 0.1, 9), "new": Estimate(0.0, 0.1, 9)})
    second = bandit.experiment("e", ARMS).assign(units, now=0.0).arm
    assert 0.4 < (first == second).mean() < 0.6


def test_impossible_allocations_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="floor"):
        ex.Allocation(["a", "b"], floor=0.6)
    bandit = ex.Allocation(["a", "b"])
    with pytest.raises(DataError, match="batches"):
        bandit.difference("b")
    with pytest.raises(DataError, match="estimates"):
        bandit.update({"a": Estimate(0.0, 0.0, 1), "b": Estimate(0.0, 1.0, 9)})


# -- records -------------------------------------------------------------------------------------------------


def test_a_monitors_groups_are_the_arms() -> None:
    data = rk.testing.toy_dataset()
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(data))
    old = rk.Pipeline([candidates.Popular()]).fit(data)
    served = ex.Served(ex.Experiment("e", {"control": old, "new": old}), observers=[outcomes])
    users = [f"user-{i}" for i in range(1, 41)]
    answer = served.recommend(users, k=4, now=data.until)
    for row, user in enumerate(users):
        if answer.columns["arm"][answer.offsets[row]] == "new" or row % 4 == 0:
            outcomes.record(user, answer.ids(row)[0], event="click", timestamp=data.until + 1)
    (ctr,) = ex.monitored(outcomes, ["ctr"])
    assert (ctr.arm, ctr.finding) == ("new", "better") and ctr.difference.treatment.value == 0.25
    with pytest.raises(DataError, match="'old'"):
        ex.monitored(outcomes, control="old")
    with pytest.raises(ConfigurationError, match="rate"):
        ex.monitored(outcomes, ["clicks"])


def test_a_list_log_has_the_columns_of_the_guardrails() -> None:
    data, rows = rk.testing.toy_dataset(), list[Any]()
    n = data.n_items + 1
    log = ex.ListLog(
        rows.extend,
        flush_rows=1,
        category=np.arange(n) % 2,
        tail=np.arange(n) > 0,
        small_sellers=np.zeros(n, bool),
    )
    pipeline = rk.Pipeline([candidates.Popular()], observers=[log]).fit(data)
    answer = pipeline.recommend(["user-1", None, "user-2"], k=3, now=data.until)
    assert [row["unit"] for row in rows] == ["user-1", "user-2"]
    assert {rail.name for rail in ex.guardrails(list(rows[0]))} == {
        "p99_ms", "failed lists", "fallback lists", "empty lists", "tail of the catalogue", "diversity in lists",
        "small sellers' exposure",
    }  # fmt: skip
    category = answer.codes(0) % 2
    pairs = [category[i] != category[j] for i in range(3) for j in range(3) if i != j]
    assert rows[0]["diversity"] == pytest.approx(np.mean(pairs))
    assert rows[0]["tail"] == 1.0 and rows[0]["small_sellers"] == 0.0 and rows[0]["ms"] > 0


def test_anybody_can_be_told_what_decided_their_lists() -> None:
    rows = [
        {"experiment": "one", "unit": 7, "arm": "new", "version": "v1", "timestamp": 50.0, "forced": False},
        {"experiment": "one", "unit": 7, "arm": "new", "version": "v1", "timestamp": 10.0, "forced": False},
        {
            "experiment": "two",
            "unit": 7,
            "arm": "control",
            "version": "v2",
            "timestamp": 30.0,
            "forced": True,
        },
        {
            "experiment": "one",
            "unit": 8,
            "arm": "control",
            "version": "v1",
            "timestamp": 1.0,
            "forced": False,
        },
    ]
    found = ex.disclose(rows, "7")
    assert found.rows == (("one", "new", "v1", 10.0, False), ("two", "control", "v2", 30.0, True))
    assert found.at(20.0) == {"one": "new"} and found.at(30.0) == {"one": "new", "two": "control"}
    assert "2 experiments" in str(found) and not ex.disclose(rows, "9").rows
