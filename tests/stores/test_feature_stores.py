"""The contract of all feature stores, and what is special about each."""

from __future__ import annotations

import multiprocessing
import pickle
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit import stores
from recokit._utils.params import get_params
from recokit.data import from_state, to_state
from recokit.errors import ConfigurationError, DataError, FeatureUnavailable

NAMES = ["clicks", "price"]
T = 1_700_000_000.0


@pytest.fixture(params=["resident", "sqlite", "redis"])
def make(request, tmp_path):
    """Open a store of each kind; the same place for the same prefix."""
    opened = []

    def open_store(names=NAMES, *, place="items", **options):
        if request.param == "resident":
            store = stores.Resident(names, **options)
        elif request.param == "sqlite":
            store = stores.SQLite(tmp_path / "features.db", names, table=place, **options)
        else:
            url = request.getfixturevalue("server").url
            # Machines that run tests pause: this is about answers, not about time.
            store = stores.Redis(url, names, prefix=place, timeout=5.0, **options)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


def test_reads_what_was_written_in_the_order_asked(make):
    store = make()
    store.write(["a", "b", "c"], [[1, 10], [2, 20], [3, 30]], at=T)
    rows = store.read(["c", "a", "c"], now=T + 5)
    assert rows.values.tolist() == [[3, 30], [1, 10], [3, 30]]
    assert rows.values.dtype == np.float32
    assert rows.present.all() and rows.age.tolist() == [5, 5, 5]
    assert (len(rows), rows.missing, rows.expired, rows.failed, rows.error) == (3, 0, 0, 0, "")


def test_is_a_feature_store(make):
    assert isinstance(make(), stores.FeatureStore)


def test_an_integer_and_its_digits_are_one_id(make):
    store = make()
    store.write([7, -8], [[1, 2], [3, 4]], at=T)
    assert store.read(["7", "-8"], now=T).values.tolist() == [[1, 2], [3, 4]]
    store.write(["7"], [[5, 6]], at=T)
    assert store.read(np.array([7, -8]), now=T).values.tolist() == [[5, 6], [3, 4]]


def test_missing_rows_are_the_defaults_and_counted(make):
    store = make(defaults={"clicks": -1.0})
    store.write(["a"], [[1, 2]], at=T)
    rows = store.read(["x", "a", "y"], now=T)
    np.testing.assert_array_equal(rows.values, [[-1, np.nan], [1, 2], [-1, np.nan]])
    assert rows.present.tolist() == [False, True, False]
    assert (rows.missing, rows.expired, rows.failed) == (2, 0, 0)
    assert np.isnan(rows.age[[0, 2]]).all()


def test_a_row_expires_at_read_by_the_time_it_was_written(make):
    store = make(ttl="1h", defaults=0.0)
    store.write(["old", "new"], [[1, 1], [2, 2]], at=[T, T + 1])
    assert store.read(["old", "new"], now=T + 3_600).present.tolist() == [True, True]
    rows = store.read(["old", "new", "x"], now=T + 3_600.5)
    assert rows.values.tolist() == [[0, 0], [2, 2], [0, 0]]
    assert (rows.missing, rows.expired, rows.failed) == (1, 1, 0)
    assert store.read(["old"], now=T).present.all()  # nothing was deleted: the past may be asked again


def test_each_id_may_have_its_own_time(make):
    store = make(ttl="1h")
    store.write(["a"], [[1, 1]], at=T)
    rows = store.read(["a", "a", "a"], now=np.array([T - 3_600, T + 10, T + 4_000]))
    assert rows.present.tolist() == [False, True, False]
    assert (rows.missing, rows.expired) == (1, 1)
    again = rows.at(np.array([0, 0]), np.array([T + 20, T + 5_000]))
    assert again.present.tolist() == [True, False] and again.age.tolist() == [20, 5_000]


def test_a_row_from_the_future_does_not_count(make):
    store = make()
    store.write(
        ["a", "b"], [[1, 1], [2, 2]], at=[T + 3_600, T + 30]
    )  # the second by a clock that is a bit ahead
    rows = store.read(["a", "b"], now=T)
    assert rows.present.tolist() == [False, True] and rows.missing == 1


def test_a_write_replaces_the_row_and_takes_columns_by_name(make):
    store = make()
    store.write(["a", "b"], [[1, 2], [3, 4]], at=T)
    store.write(["a"], {"price": np.array([9.5]), "clicks": [np.nan]}, at=T + 1)
    rows = store.read(["a", "b"], now=T + 1)
    np.testing.assert_array_equal(rows.values, np.float32([[np.nan, 9.5], [3, 4]]))
    assert rows.age.tolist() == [0, 1]


def test_nothing_asked_nothing_written(make):
    store = make()
    store.write([], np.zeros((0, 2)), at=T)
    rows = store.read([], now=T)
    assert rows.values.shape == (0, 2) and rows.missing == rows.failed == 0


def test_many_ids_at_once(make):
    store = make()
    ids = np.arange(3_000)
    store.write(ids, np.stack([ids, -ids], axis=1), at=T)
    asked = np.random.default_rng(0).integers(0, 4_000, 2_000)
    rows = store.read(asked, now=T)
    known = asked < 3_000
    assert np.array_equal(rows.present, known) and rows.missing == (~known).sum()
    assert np.array_equal(rows.values[known, 1], -asked[known])


def test_counts_add_up_and_the_last_read_is_kept(make):
    store = make(ttl="1h")
    assert store.last is None
    store.write(["a", "b"], np.ones((2, 2)), at=[T, T - 9_000])
    store.read(["a", "b", "x"], now=T)
    rows = store.read(["a", "x"], now=T)
    assert store.counts == {"reads": 2, "rows": 5, "missing": 2, "expired": 1, "failed": 0}
    assert store.last is rows


def test_stores_of_other_places_do_not_meet(make):
    items, users = make(place="items"), make(place="users")
    items.write(["1"], [[1, 1]], at=T)
    users.write(["1"], [[2, 2]], at=T)
    assert items.read(["1"], now=T).values.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("ids", "values", "at", "found"),
    [
        (["a", "b", "a"], np.ones((3, 2)), T, "'a' more than once"),
        ([1, "1"], np.ones((2, 2)), T, "types"),
        (["a"], [[1.0]], T, r"\(1, 1\); expected \(1, 2\)"),
        (["a"], [[1.0, np.inf]], T, "float32"),
        (["a"], [[1.0, 1e39]], T, "float32"),
        (["a"], [[1.0, 2.0]], np.nan, "at=nan"),
        (["a"], [[1.0, 2.0]], [T, T], "at of shape"),
        (["a"], {"clicks": [1.0]}, T, "'price'"),
        (["a"], {"clicks": [1.0], "price": [1.0], "cost": [1.0]}, T, "'cost'"),
    ],
)
def test_what_cannot_be_written_raises_and_writes_nothing(make, ids, values, at, found):
    store = make()
    with pytest.raises(DataError, match=found):
        store.write(ids, values, at=at)
    assert store.read(["a", "b", 1 if ids[0] == 1 else "1"][:2], now=T).missing == 2


def test_ids_that_are_no_ids_raise(make):
    with pytest.raises(DataError, match="types"):
        make().read([1, "a"], now=T)


@settings(max_examples=25)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=[]), max_size=4),
                st.floats(width=32, allow_infinity=False),
            ),
            min_size=1,
            max_size=6,
            unique_by=lambda pair: pair[0],
        ),
        max_size=5,
    ),
    st.lists(st.text(st.characters(exclude_categories=[]), max_size=4), max_size=6),
)
def test_any_text_is_an_id(shared_server, tmp_path_factory, writes, others):
    folder = tmp_path_factory.mktemp("any")
    shared_server.ask("FLUSHALL")
    expected = {}
    with (
        stores.SQLite(folder / "a.db", ["x"]) as sqlite,
        stores.Redis(shared_server.url, ["x"], prefix="p", timeout=5.0) as redis,
    ):
        three = [stores.Resident(["x"]), sqlite, redis]
        for number, write in enumerate(writes):
            for store in three:
                store.write([id_ for id_, _ in write], [[value] for _, value in write], at=float(number))
            expected |= {id_: (value, number) for id_, value in write}
        asked = [*others, *expected]
        for store in three:
            rows = store.read(asked, now=10.0)
            assert rows.failed == 0, rows.error
            right = [expected.get(id_, (np.nan, np.nan)) for id_ in asked]
            np.testing.assert_array_equal(
                rows.values[:, 0], np.array([value for value, _ in right], np.float32)
            )
            np.testing.assert_array_equal(rows.written_at, np.array([at for _, at in right], np.float64))


def test_readers_see_a_write_whole(make):
    store = make(["x"])
    if isinstance(store, stores.Redis):
        pytest.skip("rows of one write arrive one by one, as the page says")
    ids = np.arange(1_200)
    store.write(ids, np.zeros((1_200, 1)), at=T)
    stop, mixed, seen = threading.Event(), [], set()

    def look():
        while not stop.is_set():
            values = np.unique(store.read(ids, now=T).values)
            seen.add(float(values[0]))
            if len(values) > 1:
                mixed.append(values)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(1, 40):
        store.write(ids, np.full((1_200, 1), turn), at=T)
    stop.set()
    for reader in readers:
        reader.join()
    assert not mixed and len(seen) > 1
    assert store.counts["failed"] == 0


def test_many_threads_read_right_rows(make):
    store = make(["x"])
    ids = np.arange(200)
    store.write(ids, ids[:, None], at=T)
    wrong = []

    def look(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            asked = rng.integers(0, 200, 30)
            if not np.array_equal(store.read(asked, now=T).values[:, 0], asked):
                wrong.append(asked)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and store.counts["rows"] == 6 * 50 * 30


def again(store):
    """Return where a store is, as its state does not."""
    place = getattr(store, "url", getattr(store, "path", None))
    return {} if place is None else {type(store).connection_name(get_params(store)): place}


def test_a_copy_reads_the_same(make):
    store = make(ttl="1h", defaults=2.0)
    store.write(["a"], [[1, 2]], at=T)
    tree, arrays = to_state(store)
    for copy in (pickle.loads(pickle.dumps(store)), from_state(tree, arrays, connections=again(store))):
        assert copy.read(["a", "b"], now=T).values.tolist() == [[1, 2], [2, 2]]
        copy.write(["new"], [[3, 4]], at=T)
        assert copy.read(["new"], now=T).values.tolist() == [[3, 4]]
        copy.close()


@pytest.mark.parametrize(
    ("names", "options", "found"),
    [
        ([], {}, "names"),
        ("clicks", {}, "names"),
        (["a", "a"], {}, "names"),
        (["a", ""], {}, "names"),
        (["a"], {"ttl": "soon"}, "ttl='soon'"),
        (["a"], {"ttl": 0}, "ttl=0"),
        (["a"], {"defaults": {"b": 1.0}}, "default for 'b'"),
        (["a"], {"defaults": {"a": "1"}}, "default '1'"),
    ],
)
def test_options_that_cannot_work_raise(make, names, options, found):
    with pytest.raises(ConfigurationError, match=found):
        make(names, **options)


def test_the_repr_shows_the_options(make):
    store = make(ttl="1h")
    assert type(store).__name__ in repr(store) and "ttl='1h'" in repr(store) and "clicks" in repr(store)


# -- resident ----------------------------------------------------------------------------------------------------------


def test_resident_drops_expired_rows_when_it_is_full():
    store = stores.Resident(["x"], ttl="10s")
    for turn in range(2_000):
        store.write([f"{turn}"], [[turn]], at=float(turn))
    assert len(store) < 64
    assert store.read(["1995", "1999", "1000"], now=2_000.0).values[:2, 0].tolist() == [1995, 1999]


# -- SQLite ------------------------------------------------------------------------------------------------------------


def write_and_read(path, worker, answers):
    with stores.SQLite(path, ["x"], write_timeout=60.0) as store:
        for turn in range(20):
            store.write([f"{worker}-{turn}", "shared"], [[turn], [worker]], at=T + turn)
            rows = store.read([f"{worker}-{turn}", "shared"], now=T + turn)
            if rows.values[0, 0] != turn or rows.values[1, 0] not in (0, 1, 2):
                answers.put(f"{worker} found {rows.values.tolist()} ({rows.error})")
                return
    answers.put("ok")


def test_sqlite_is_shared_by_processes_that_make_it_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    path = str(tmp_path / "shared.db")
    workers = [context.Process(target=write_and_read, args=(path, worker, answers)) for worker in range(3)]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=60) for _ in workers] == ["ok"] * 3
    for worker in workers:
        worker.join(timeout=60)
    with stores.SQLite(path, ["x"]) as store:
        ids = [f"{worker}-{turn}" for worker in range(3) for turn in range(20)]
        assert store.read(ids, now=T + 30).values[:, 0].tolist() == list(range(20)) * 3


def test_sqlite_reads_while_another_writes_and_a_write_gives_up(tmp_path):
    path = tmp_path / "a.db"
    with stores.SQLite(path, ["x"], write_timeout=0.05) as store:
        store.write(["a"], [[1]], at=T)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert store.read(["a"], now=T).values.tolist() == [[1]]
        with pytest.raises(FeatureUnavailable, match="locked"):
            store.write(["a"], [[2]], at=T)
        other.execute("ROLLBACK")
        other.close()
        store.write(["a"], [[3]], at=T)
        assert store.read(["a"], now=T).values.tolist() == [[3]]


def test_sqlite_counts_what_is_no_row_as_failed(tmp_path):
    path = tmp_path / "a.db"
    with stores.SQLite(path, ["x"], defaults=9.0) as store, stores.SQLite(path, ["y"]) as other:
        store.write(["cut", "text", "good", "null"], [[1], [2], [3], [4]], at=T)
        other.write(["foreign"], [[5]], at=T)
        direct = sqlite3.connect(path)
        direct.execute("UPDATE features SET row = substr(row, 1, 20) WHERE id = ?", (b"cut",))
        direct.execute("UPDATE features SET row = 'abc' WHERE id = ?", (b"text",))
        direct.commit()
        direct.close()
        rows = store.read(["cut", "text", "good", "foreign", "gone"], now=T)
        assert rows.values.ravel().tolist() == [9, 9, 3, 9, 9]
        assert rows.unread.tolist() == [True, True, False, True, False]
        assert (rows.failed, rows.missing) == (3, 1) and "3 values that are no rows" in rows.error


def test_sqlite_answers_when_its_file_breaks(tmp_path):
    path = tmp_path / "a.db"
    store = stores.SQLite(path, ["x"], defaults=9.0)
    store.write(["a"], [[1]], at=T)
    store.close()
    path.write_bytes(b"no database, " * 1_000)
    rows = store.read(["a", "b"], now=T)
    assert rows.values.ravel().tolist() == [9, 9] and rows.failed == 2 and "not a database" in rows.error
    with pytest.raises(FeatureUnavailable, match="not a database"):
        store.write(["a"], [[1]], at=T)
    with pytest.raises(ConfigurationError, match="not a database"):
        stores.SQLite(path, ["x"])


def test_sqlite_stops_when_the_time_is_up(tmp_path):
    with stores.SQLite(tmp_path / "a.db", ["x"]) as store:
        store.write(["a"], [[1]], at=T)
        rows = store.read(["a"], now=T, timeout=0.0)
        assert rows.failed == 1 and "no time left" in rows.error
        assert store.read(["a"], now=T, timeout=10.0).failed == 0


@pytest.mark.parametrize(
    ("path", "options", "found"),
    [
        ("missing/a.db", {}, "no usable database"),
        (":memory:", {}, "Resident"),
        ("a.db", {"table": "a b"}, "table"),
    ],
)
def test_sqlite_options_that_cannot_work_raise(tmp_path, path, options, found):
    with pytest.raises(ConfigurationError, match=found):
        stores.SQLite(path if path == ":memory:" else tmp_path / path, ["x"], **options)


def test_rows_are_erased_by_id(make):
    store = make()
    store.write(["a", "b", "7"], [[1, 2], [3, 4], [5, 6]], at=T)
    assert (store.erase(["a", "7", "z", "a"]), store.erase(["a"]), store.erase([])) == (2, 0, 0)
    assert store.read(["a", "b", "7"], now=T).present.tolist() == [False, True, False]
