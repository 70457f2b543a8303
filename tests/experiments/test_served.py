"""Served: one call serves all arms, in the order of the requests, and logs who was shown what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, monitoring
from recokit.data import Dataset
from recokit.errors import ConfigurationError, DataError
from recokit.experiments import HOLDOUT, Experiment, Exposures, Served, Stitching


@pytest.fixture(scope="module")
def data() -> Dataset:
    return rk.testing.toy_dataset()


@pytest.fixture(scope="module")
def old(data: Dataset) -> rk.Pipeline:
    return rk.Pipeline([candidates.Popular()]).fit(data)


@pytest.fixture(scope="module")
def new(data: Dataset) -> rk.Pipeline:
    return rk.Pipeline([candidates.ItemKNN()], fallback=candidates.Popular()).fit(data)


USERS = [f"user-{i}" for i in range(1, 21)]


def logged() -> tuple[list[dict[str, Any]], Exposures]:
    rows: list[dict[str, Any]] = []
    return rows, Exposures(rows.extend, flush_rows=1)


def test_a_batch_answers_as_its_requests_do_alone(data: Dataset, old: rk.Pipeline, new: rk.Pipeline) -> None:
    served = Served(Experiment("e", {"control": old, "new": new}))
    together = served.recommend(USERS, k=3, now=data.until, context={"n": list(range(20))})
    arms = set()
    for row, user in enumerate(USERS):
        alone = served.recommend([user], k=3, now=data.until, context={"n": row})
        arm = str(alone.columns["arm"][0])
        own = {"control": old, "new": new}[arm].recommend([user], k=3, now=data.until)
        assert together.ids(row) == alone.ids(0) == own.ids(0), (row, user)
        np.testing.assert_allclose(together.scores(row), own.scores(0), rtol=1e-5)
        assert together.sources[int(together.offsets[row])] == own.sources[0]
        assert together.columns["arm"][together.offsets[row]] == arm
        arms.add(arm)
    assert arms == {"control", "new"} and together.users.tolist() == USERS
    assert together.fingerprint == served.fingerprint not in (old.fingerprint, new.fingerprint)


def test_every_option_goes_to_the_rows_that_it_is_for(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    served = Served(Experiment("e", {"control": old, "new": new}))
    items = data.item_ids.ids.tolist()
    answer = served.recommend(
        USERS,
        k=[1 + row % 3 for row in range(20)],
        items=[[items[row % 5], items[5 + row % 3]] if row % 2 else None for row in range(20)],
        exclude=[[items[row % 5]] for row in range(20)],
        now=[data.until + row for row in range(20)],
    )
    for row in range(20):
        assert len(answer.ids(row)) <= 1 + row % 3
        assert items[row % 5] not in answer.ids(row)
        if row % 2:
            assert set(answer.ids(row)) <= {items[5 + row % 3]}


def test_arms_of_different_data_are_joined_by_ids(data: Dataset, old: rk.Pipeline) -> None:
    frame = {"user": ["user-1", "nobody"], "item": [9999, 103], "timestamp": [1.0, 2.0]}
    other = rk.Pipeline([candidates.Popular()]).fit(rk.Dataset.from_frame(frame))
    served = Served(Experiment("e", {"control": old, "new": other}))
    answer = served.recommend(USERS, k=2, now=data.until)
    for row, user in enumerate(USERS):
        arm = {"control": old, "new": other}[str(answer.columns["arm"][answer.offsets[row]])]
        assert answer.ids(row) == arm.recommend([user], k=2, now=data.until).ids(0)
    same = served.run(served.requests(USERS, k=2, now=data.until))
    assert [same.ids(row) for row in range(20)] == [answer.ids(row) for row in range(20)]


def test_run_is_recommend_made_of_codes(data: Dataset, old: rk.Pipeline, new: rk.Pipeline) -> None:
    rows, log = logged()
    served = Served(Experiment("e", {"control": old, "new": new}), observers=[log])
    requests = served.requests(USERS, k=3, now=data.until)
    silent = served.run(requests, observe=False)
    assert not rows
    answer = served.run(requests)
    assert len(rows) == 20
    expected = served.recommend(USERS, k=3, now=data.until)
    for row in range(20):
        assert silent.ids(row) == answer.ids(row) == expected.ids(row)


def test_exposures_say_who_was_shown_what_when_and_by_which_version(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    rows, log = logged()
    test = Experiment("e", {"control": old, "new": new}, layer="home", holdout=0.2, forced={"user-3": "new"})
    served = Served(test, observers=[log])
    served.recommend([*USERS, None], k=2, now=data.until)
    assert [row["unit"] for row in rows] == [
        row["unit"] for row in {row["unit"]: row for row in rows}.values()
    ]
    by_unit = {row["unit"]: row for row in rows}
    assert set(by_unit) == set(USERS)
    assert by_unit["user-3"]["forced"] and by_unit["user-3"]["arm"] == "new"
    assert sum(row["forced"] for row in rows) == 1
    held = [row for row in rows if row["arm"] == HOLDOUT]
    assert held and all(row["version"] == old.fingerprint for row in held)
    version = {"control": old.fingerprint, "new": new.fingerprint, HOLDOUT: old.fingerprint}
    assert all(row["version"] == version[row["arm"]] for row in rows)
    assert {row["timestamp"] for row in rows} == {data.until} and {row["layer"] for row in rows} == {"home"}


def test_who_is_in_no_arm_gets_the_controls_list_and_no_exposure(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    rows, log = logged()
    served = Served(Experiment("e", {"control": old, "new": new}, ramp={"2100-01-01": 1.0}), observers=[log])
    answer = served.recommend(USERS[:3], k=2, now=data.until)
    assert answer.ids(0) == old.recommend(USERS[:1], k=2, now=data.until).ids(0)
    assert not rows and answer.traces[0].requests.columns["group"].tolist() == ["(outside)"] * 3


def test_monitors_count_by_the_arm(data: Dataset, old: rk.Pipeline, new: rk.Pipeline) -> None:
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(data))
    served = Served(Experiment("e", {"control": old, "new": new}), observers=[outcomes])
    answer = served.recommend(USERS, k=2, now=data.until)
    rates = outcomes.rates(outcomes.total())
    arms = answer.columns["arm"]
    assert {arm: rate.impressions for arm, rate in rates.items()} == {
        arm: int((arms == arm).sum()) for arm in ("control", "new")
    }


def test_two_experiments_of_a_layer_share_its_traffic(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    rows, log = logged()
    one = Experiment("one", {"control": old, "new": new}, layer="home", traffic=(0.0, 0.5))
    other = Experiment("other", {"control": old, "third": new}, layer="home", traffic=(0.5, 1.0))
    served = Served([one, other], observers=[log])
    served.recommend(USERS, k=2, now=data.until)
    assert len(rows) == 20 == len({row["unit"] for row in rows})
    assert {row["experiment"] for row in rows} == {"one", "other"}
    assert list(served.arms) == ["one/control", "one/new", "other/control", "other/third"]
    with pytest.raises(ConfigurationError, match="overlap"):
        Served([one, Experiment("wide", {"a": old, "b": new}, layer="home")])


def test_a_shadow_run_tells_whether_lists_differ_and_is_never_shown(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    rows, log = logged()
    seen: list[Any] = []

    class Watch:
        def observe(self, trace: Any) -> None:
            seen.append(trace)

    served = Served(Experiment("e", {"control": old, "new": new}), observers=[log, Watch()], shadow=0.999)
    answer = served.recommend(USERS, k=3, now=data.until)
    served.wait()
    told = {row["unit"]: row["differs"] for row in rows if row["differs"] is not None}
    for row, user in enumerate(USERS):
        lists = [arm.recommend([user], k=3, now=data.until).ids(0) for arm in (old, new)]
        assert answer.ids(row) in lists
        assert told[user] == (lists[0] != lists[1])
    assert set(told.values()) == {True, False} and len(seen) == 2


def test_the_shadows_share_is_of_units(data: Dataset, old: rk.Pipeline, new: rk.Pipeline) -> None:
    rows, log = logged()
    served = Served(Experiment("e", {"control": old, "new": new}), observers=[log], shadow=0.3)
    for _ in range(3):
        served.recommend(USERS, k=3, now=data.until)
        served.wait()
    told = {row["unit"] for row in rows if row["differs"] is not None}
    assert 0 < len(told) < 14


def test_an_observer_that_fails_fails_no_request(data: Dataset, old: rk.Pipeline, new: rk.Pipeline) -> None:
    def broken(rows: Any) -> None:
        raise OSError("disk full")

    served = Served(
        Experiment("e", {"control": old, "new": new}), observers=[Exposures(broken, flush_rows=1)]
    )
    assert len(served.recommend(USERS, k=2, now=data.until)) == 20


def test_stitching_keeps_a_visitors_arm_after_the_login(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    rows, log = logged()
    served = Served(Experiment("e", {"control": old, "new": new}), observers=[log], stitching=Stitching())
    for i in range(10):
        before = served.recommend([None], k=2, now=data.until, context={"visitor_id": f"v{i}"})
        after = served.recommend([USERS[i]], k=2, now=data.until, context={"visitor_id": f"v{i}"})
        assert before.columns["arm"][0] == after.columns["arm"][0]
    assert [row["unit"] for row in rows] == [f"visitor:v{i}" for i in range(10)]
    with pytest.raises(DataError, match="visitor_id"):
        served.recommend(USERS[:1], now=data.until)


def test_it_is_a_runnable_whose_changes_reach_every_arm(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    served = Served(Experiment("e", {"control": old, "new": new}))
    assert served.schema is old.schema and served.names == old.names and served["popular"] is old["popular"]
    assert served.fitted_until == old.fitted_until and list(served) == list(old)
    later = served.with_events(data)
    assert later.fingerprint == served.fingerprint
    changed = served.replace("popular", candidates.Popular(half_life="1D").fit(data))
    assert changed.fingerprint != served.fingerprint and changed.arms["new"].fingerprint == new.fingerprint
    one = served.requests(USERS[:1], k=2, now=data.until)
    assert len(served.candidates(one)) > 0
    with pytest.raises(ConfigurationError, match="2 arms"):
        served.candidates(served.requests(USERS, k=2, now=data.until))


def test_times_that_are_not_given_are_the_clocks_for_all_arms(
    data: Dataset, old: rk.Pipeline, new: rk.Pipeline
) -> None:
    served = Served(Experiment("e", {"control": old, "new": new}), clock=lambda: 12345.0)
    answer = served.recommend(USERS, k=2)
    assert {float(now) for trace in answer.traces for now in trace.requests.now} == {12345.0}


@pytest.mark.parametrize("users", [None, "ann"], ids=["none", "bare"])
def test_calls_that_name_nobody_are_refused(old: rk.Pipeline, new: rk.Pipeline, users: Any) -> None:
    with pytest.raises(DataError, match="users"):
        Served(Experiment("e", {"control": old, "new": new})).recommend(users)


def test_arms_do_not_see_anothers_context_column(data: Dataset, old: rk.Pipeline, new: rk.Pipeline) -> None:
    context = {"country": "DE"}
    Served(Experiment("e", {"control": old, "new": new})).recommend(USERS, now=data.until, context=context)
    assert context == {"country": "DE"}
    assert np.array_equal(USERS, [f"user-{i}" for i in range(1, 21)])
