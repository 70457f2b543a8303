"""Erasing a user: one call over everything that holds something of single users."""

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, exploration, features, monitoring, stores
from recokit.data import Live, LiveEvents, UserHistory
from recokit.debugger import TrafficSample
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.monitoring import erase_user


@pytest.fixture(scope="module")
def data():
    return rk.testing.toy_dataset()


def rows(user, times=(30.0,)):
    return {"user_id": [user] * len(times), "item_id": [101] * len(times), "timestamp": list(times)}


@pytest.fixture
def world(data, tmp_path):
    """A pipeline with all that may hold users, one of whom is user-1."""
    now = data.until + 10.0
    sessions, live = stores.ResidentSessions(), LiveEvents()
    users = stores.SQLite(tmp_path / "users.db", ["clicks"])
    items = stores.Resident(["price"])
    log = monitoring.FeatureLog(tmp_path / "log")
    outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(data))
    sample = TrafficSample(share=1.0)
    for user in ("user-1", "user-2"):
        sessions.append(user, 101, at=now)
        live.append(rows(user, [now, now + 1]))
        users.write([user], [[1.0]], at=now)
        items.write([user], [[1.0]], at=now)  # an item of the same name
    pipeline = rk.Pipeline(
        [
            UserHistory(live_events=live),
            stores.RecentSession(sessions),
            candidates.Merge([candidates.ItemKNN(), candidates.Popular()]),
            features.FromStore(users, entity="user"),
            rk.Step(features.FromStore(items), name="items"),
        ],
        observers=[log, monitoring.Background(outcomes), sample],
    ).fit(data)
    pipeline.recommend(["user-1", "user-2", None], k=3, now=now + 5)
    pipeline.observers[1].close()
    log.flush()
    pipeline.recommend(["user-1", "user-2"], k=3, now=now + 6)
    pipeline.observers[1].close()
    return locals()


def test_one_call_reaches_all_that_a_pipeline_holds(world):
    found = erase_user("user-1", world["pipeline"])
    assert sorted((part, n) for part, n in found.removed if n) == [
        ("Background", 2), ("FeatureLog", 2), ("FromStore", 1), ("LiveEvents", 2), ("ResidentSessions", 1),
        ("TrafficSample", 2),
    ]  # fmt: skip
    assert found.failed == () and not found.complete
    assert any("fit it on data without" in text for text in found.unreachable)
    now = world["now"] + 9
    assert world["sessions"].recent(["user-1"], now=now).items.tolist() == []
    assert world["sessions"].recent(["user-2"], now=now).items.tolist() == ["101"]
    assert len(world["live"]) == 2
    assert world["users"].read(["user-1", "user-2"], now=now).present.tolist() == [False, True]
    assert world["items"].read(["user-1"], now=now).present.all()
    logged = monitoring.FeatureLog.load(world["log"].path)
    assert "user-1" not in logged.user.tolist() and logged.user.tolist().count("user-2") == 2
    assert None in logged.user.tolist()
    assert not world["outcomes"].record("user-1", 101, event="click", timestamp=now)
    assert {one.user for one in world["sample"].take()} == {"user-2", None}
    again = erase_user("user-1", world["pipeline"])
    assert sum(n for _, n in again.removed) == 0
    assert "not reached" in str(again) and again._repr_html_()


def test_the_same_user_is_reached_in_parts_given_alone(world):
    world["log"].flush()
    found = erase_user("user-2", world["sessions"], world["live"], world["users"], world["log"].path)
    assert [n for _, n in found.removed] == [1, 2, 1, 2]
    assert world["users"].read(["user-2"], now=world["now"]).missing == 1


def test_a_new_event_of_an_erased_user_is_taken(world):
    erase_user("user-1", world["live"])
    assert world["live"].append(rows("user-1", [world["now"]])).accepted == 1


def test_other_names_of_the_person_are_erased_too():
    sessions = stores.ResidentSessions()
    for key in ("ann", "visit-7", "bob"):
        sessions.append(key, 7, at=100.0)
    assert erase_user("ann", sessions, names=["visit-7"]).removed == (("ResidentSessions", 2),)
    assert len(sessions) == 1


@pytest.mark.parametrize("n", [1, 5, 300])
def test_resident_rows_that_stay_are_those_that_were_there(n):
    store = stores.Resident(["x"])
    ids = [f"u{i}" for i in range(n)]
    store.write(ids, np.arange(n, dtype=float)[:, None], at=1.0)
    assert store.erase(ids[::2]) == len(ids[::2])
    assert store.erase(ids[::2]) == 0
    read = store.read(ids, now=2.0)
    assert read.present.tolist() == [i % 2 == 1 for i in range(n)]
    assert read.values[1::2, 0].tolist() == list(range(1, n, 2))
    store.write(["new"], [[7.0]], at=1.0)
    assert store.read(["new"], now=2.0).values.tolist() == [[7.0]]


def test_one_part_that_fails_keeps_no_other_from_it():
    class Down:
        def erase_user(self, user):
            raise OSError("disk\nfull")

    sessions = stores.ResidentSessions()
    sessions.append("ann", 7, at=100.0)
    found = erase_user("ann", Down(), sessions)
    assert found.failed == ("Down: OSError: disk full",) and found.removed == (("ResidentSessions", 1),)
    with pytest.raises(StageError, match="kept a user"):
        found.raise_for_status()


@pytest.mark.parametrize("part", [object(), 3, {"sessions": 1}])
def test_what_holds_no_users_is_an_error(part):
    with pytest.raises(ConfigurationError, match="to erase a user from"):
        erase_user("ann", part)
    with pytest.raises(ConfigurationError, match="nothing to erase from"):
        erase_user("ann")


@pytest.mark.parametrize("nobody", [None, 1.0, float("nan"), "", True, ["user-1"], b"user-1"])
def test_what_is_nobodys_id_is_refused(nobody):
    for people in ((nobody, ()), ("user-1", [nobody])):
        with pytest.raises(DataError, match="expected the external id of one user"):
            erase_user(people[0], stores.ResidentSessions(), names=people[1])
    with pytest.raises(DataError, match="expected a list of ids"):
        erase_user("user-1", stores.ResidentSessions(), names="visitor-1")


def test_a_folder_that_is_not_there_is_said(tmp_path):
    found = erase_user("user-1", tmp_path / "nothing")
    assert not found.removed
    assert "found no folder" in found.failed[0]


@pytest.mark.parametrize("policy", [exploration.ThompsonSampling, exploration.UCB])
def test_what_exploration_knows_of_a_visitor_is_erased_and_its_sums_are_said(data, policy):
    counts = exploration.Statistics.empty(data.n_items, column="visitor", labels=("user-1", "user-2"))
    counts = counts.updated([1, 1, 2, 1], [1.0, 0.0, 1.0, 1.0], ["user-1", "user-1", "user-1", "user-2"])
    live = Live(counts)
    pipeline = rk.Pipeline([candidates.Popular(), policy(live)]).fit(data)
    found = erase_user("user-1", pipeline)
    assert dict(found.removed)[policy.__name__] == 3
    assert live.pin()[1].trials[:, 1:3].tolist() == [[1, 0], [0, 0], [1, 0]]
    assert live.pin()[1].successes[:, 1:3].tolist() == [[1, 0], [0, 0], [1, 0]]
    assert any(
        policy.__name__ in text and "add up the trials of all users" in text for text in found.unreachable
    )
    assert dict(erase_user("user-1", pipeline).removed)[policy.__name__] == 0
    fixed = policy(counts)
    assert erase_user("user-2", fixed).removed == ((policy.__name__, 1),)
    assert fixed.statistics.trials[0, 1] == 2
