"""FeatureLog: what was served comes back as it was, becomes training rows, and never troubles a request."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Dataset
from recokit.errors import ConfigurationError, DataError
from recokit.monitoring import FeatureLog, LoggedRequests
from recokit.monitoring.feature_log import _files as files

WEEK = 7 * 86_400.0
USERS = [f"user-{i}" for i in range(1, 20)]


@pytest.fixture(scope="module")
def toy() -> Dataset:
    return rk.testing.toy_dataset(n_events=900)


def fitted(data: Dataset) -> rk.Pipeline:
    """Return a pipeline that knows the data but its last week."""
    stages = [
        candidates.Merge([candidates.Popular(), candidates.ItemKNN()], limit=20),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.MaxPerGroup("seller", 2),
    ]
    return rk.Pipeline(stages).fit(data.before(data.until - WEEK), label_window="7D")


@pytest.fixture(scope="module")
def model(toy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where a fitted pipeline is saved, to be loaded with other observers."""
    path = tmp_path_factory.mktemp("model") / "model"
    fitted(toy).save(path)
    return path


def served(model: Path, log: FeatureLog) -> rk.Pipeline:
    return rk.Pipeline.load(model, observers=[log])


def same(one: LoggedRequests, other: LoggedRequests) -> None:
    for name, value in vars(one).items():
        theirs = getattr(other, name)
        if isinstance(value, np.ndarray) and value.dtype.kind != "O":
            np.testing.assert_array_equal(value, theirs, err_msg=name)
        else:
            assert list(value) == list(theirs) if isinstance(value, np.ndarray) else value == theirs, name


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_what_was_served_is_read_back(model: Path, tmp_path: Path, form: str) -> None:
    with FeatureLog(tmp_path / "log", format=form) as log:
        pipeline = served(model, log)
        now = pipeline.fitted_until
        first = pipeline.recommend([*USERS, "nobody", None], k=4, now=now, seed=3)
        second = pipeline.recommend(
            ["user-2"], k=3, now=now + 60, session=[[101, 102]], context={"slot": "top"}
        )
    back = FeatureLog.load(tmp_path / "log")
    assert len(back) == len(USERS) + 3 and back.models == (pipeline.fingerprint,)
    assert (back.now[:-1] == now).all() and back.now[-1] == now + 60
    assert back.given[-1] == {"context": {"slot": "top"}, "lists": {"session": [101, 102]}}
    by_user = {user: row for row, user in enumerate(back.user.tolist())}
    assert {"nobody", None, *USERS} == set(by_user)
    for row, user in enumerate([*USERS, "nobody", None]):
        at = by_user[user] if user != "user-2" else np.flatnonzero(back.user == "user-2")[0]
        span = slice(back.offsets[at], back.offsets[at + 1])
        assert back.item[span].tolist() == first.ids(row)
        assert back.position[span].tolist() == list(range(1, len(first.ids(row)) + 1))
        selected = first.trace.selected
        mine = selected.row == row
        np.testing.assert_array_equal(back.features[span], selected.features[mine])
        np.testing.assert_array_equal(back.score[span], first.scores(row))
        np.testing.assert_array_equal(back.sources[span], selected.sources[mine])
        assert back.impression[at] == log.impressions(first.trace)[row]
    assert back.feature_names == first.trace.selected.feature_names
    assert back.item[back.offsets[-2] :].tolist() == second.ids(0)
    assert (back.k[-1], back.weight[-1]) == (3, 1.0)
    assert np.isnan(back.propensity).all()
    assert log.written == len(back.item) and log.rows == log.dropped == log.errors == 0


def test_integer_users_and_both_formats_agree(tmp_path: Path) -> None:
    frame = {"user_id": [7, 7, 8, 9], "item_id": ["a", "b", "a", "ä"], "timestamp": [1.0, 2.0, 3.0, 4.0]}
    data = Dataset.from_frame(frame)
    backs = []
    for form in ("parquet", "npz"):
        log = FeatureLog(tmp_path / form, format=form)
        rk.Pipeline([candidates.Popular()], observers=[log]).fit(data).recommend(
            [7, None, 12345], k=2, now=9.0
        )
        log.flush()
        backs.append(FeatureLog.load(tmp_path / form))
    same(*backs)
    assert set(backs[0].user.tolist()) == {7, None, 12345}
    assert set(backs[0].item.tolist()) <= {"a", "b", "ä"}


def test_ranked_candidates_that_were_not_served(model: Path, tmp_path: Path) -> None:
    whole, best = FeatureLog(tmp_path / "whole", unserved=None), FeatureLog(tmp_path / "best", unserved=2)
    plain = FeatureLog(tmp_path / "plain")
    pipeline = served(model, whole)
    answer = pipeline.recommend(USERS, k=3, now=pipeline.fitted_until)
    ranked = answer.trace.ranked
    assert ranked is not None
    best.observe(answer.trace)
    plain.observe(answer.trace)
    for log in (whole, best, plain):
        log.close()
    back = FeatureLog.load(whole.path)
    assert len(back.item) == len(ranked)
    few = FeatureLog.load(best.path)
    for row in range(len(few)):
        span = slice(few.offsets[row], few.offsets[row + 1])
        assert few.position[span].tolist() == [1, 2, 3, 0, 0]
        mine = back.row == np.flatnonzero(back.impression == few.impression[row])[0]
        left = np.sort(back.score[mine & (back.position == 0)])[::-1]
        np.testing.assert_array_equal(np.sort(few.score[span][3:])[::-1], left[:2])
    assert (FeatureLog.load(plain.path).position > 0).all()


def test_traces_keep_no_ranked_candidates_unless_wanted(model: Path, tmp_path: Path) -> None:
    pipeline = served(model, FeatureLog(tmp_path))
    assert pipeline.recommend(["user-1"], now=pipeline.fitted_until).trace.ranked is None


def test_the_sample_follows_from_the_request_and_is_weighted(
    toy: Dataset, model: Path, tmp_path: Path
) -> None:
    log = FeatureLog(tmp_path / "a", sample=0.3)
    pipeline = served(model, log)
    now = pipeline.fitted_until + np.arange(60.0)
    users = [USERS[i % len(USERS)] for i in range(60)]
    pipeline.recommend(users, k=2, now=now)
    log.close()
    back = FeatureLog.load(log.path)
    assert 5 <= len(back) <= 32
    np.testing.assert_allclose(back.weight, 1 / 0.3)
    one_by_one = FeatureLog(tmp_path / "b", sample=0.3)
    for user, when in zip(users[::-1], now[::-1], strict=True):
        one_by_one.observe(pipeline.recommend([user], k=2, now=when).trace)
    one_by_one.close()
    same(back, FeatureLog.load(one_by_one.path))
    log = FeatureLog(tmp_path / "c", sample=0.3)
    rk.Pipeline([candidates.Popular()], observers=[log]).fit(toy).recommend(users, k=2, now=now)
    log.close()
    again = FeatureLog.load(tmp_path / "c")
    assert again.now.tolist() == back.now.tolist()  # another model, the same requests
    assert set(again.models).isdisjoint(back.models)


def test_anonymous_requests_of_one_moment_are_told_apart(model: Path, tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    pipeline = served(model, log)
    pipeline.recommend([None] * 5, k=2, now=pipeline.fitted_until)
    log.close()
    assert len(FeatureLog.load(tmp_path)) == 5


def test_a_replay_counts_once(model: Path, tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    pipeline = served(model, log)
    for _ in range(2):
        pipeline.recommend(USERS, k=2, now=pipeline.fitted_until)
    log.flush()
    pipeline.recommend(["user-1"], k=2, now=pipeline.fitted_until)
    log.close()
    back = FeatureLog.load(tmp_path)
    assert (len(back), len(files.part_files(tmp_path)), back.n_repeated) == (len(USERS), 2, 1)
    assert len(set(back.impression.tolist())) == len(back)


# -- nothing troubles a request ------------------------------------------------------------------------------------


def test_parts_are_written_when_full_and_memory_is_bounded(model: Path, tmp_path: Path) -> None:
    log = FeatureLog(tmp_path / "a", part_rows=10, max_rows=25)
    pipeline = served(model, log)
    for i in range(6):
        pipeline.recommend(["user-1"], k=4, now=pipeline.fitted_until + i)
    assert (log.written, log.rows, log.dropped) == (24, 0, 0)
    patient = FeatureLog(tmp_path / "b", part_rows=10, max_rows=25, write_when_full=False)
    for i in range(8):
        patient.observe(pipeline.recommend(["user-1"], k=4, now=pipeline.fitted_until + i).trace)
    assert (patient.written, patient.rows, patient.dropped) == (0, 24, 8)
    assert not (tmp_path / "b").exists()
    patient.close()
    patient.observe(pipeline.recommend(["user-1"], k=4, now=pipeline.fitted_until).trace)
    assert (patient.written, patient.dropped) == (24, 12)
    assert "24 written, 12 dropped" in repr(patient)


def test_a_disk_that_fails_fails_no_request(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FeatureLog(tmp_path / "log", part_rows=4, max_rows=100)
    pipeline = served(model, log)
    with monkeypatch.context() as broken:
        broken.setattr("os.replace", _no_space)
        for i in range(5):
            answer = pipeline.recommend(["user-1"], k=4, now=pipeline.fitted_until + i)
            assert len(answer.ids(0)) == 4
        assert log.errors == 5 and isinstance(log.last_error, OSError) and log.rows == 20
        with pytest.raises(OSError, match="no space"):
            log.flush()
        assert list((tmp_path / "log").iterdir()) == []  # nor half a part
    log.flush()
    assert (log.rows, log.written, len(FeatureLog.load(log.path))) == (0, 20, 5)


def _no_space(*_: Any) -> None:
    raise OSError("no space left")


def test_a_trace_without_ids_is_an_error_of_the_log_alone(toy: Dataset, tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    pipeline = rk.Pipeline([candidates.Popular()]).fit(toy)
    trace = pipeline.recommend(["user-1"], now=toy.until).trace
    object.__setattr__(trace, "users", None)
    log.observe(trace)
    assert log.errors == 1 and "without ids" in str(log.last_error)


def test_answers_with_nothing_are_not_recorded(toy: Dataset, tmp_path: Path) -> None:
    class Nothing:
        def keep(self, batch: rk.Candidates) -> Any:
            return np.zeros(len(batch), np.bool_)

    log = FeatureLog(tmp_path, unserved=None)
    rk.Pipeline([candidates.Popular(), Nothing()], observers=[log]).fit(toy).recommend([None], now=toy.until)
    assert (log.rows, log.errors) == (0, 0)


def test_threads(model: Path, tmp_path: Path) -> None:
    log = FeatureLog(tmp_path, part_rows=30)
    pipeline = served(model, log)

    def serve(first: int) -> None:
        for i in range(first, first + 20):
            pipeline.recommend(["user-1"], k=3, now=pipeline.fitted_until + i)

    threads = [threading.Thread(target=serve, args=(start,)) for start in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(FeatureLog.load(tmp_path)) == 80
    assert (log.written, log.rows, log.errors) == (240, 0, 0)


def test_a_log_imports_pyarrow_only_to_write(
    toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    assert FeatureLog(tmp_path)._format == "npz"
    with pytest.raises(ConfigurationError, match="pyarrow"):
        FeatureLog(tmp_path, format="parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    log = FeatureLog(tmp_path)
    rk.Pipeline([candidates.Popular()], observers=[log]).fit(toy).recommend([None], now=toy.until)
    log.close()
    assert len(FeatureLog.load(tmp_path)) == 1


def test_pandas_is_not_imported(toy: Dataset, tmp_path: Path) -> None:
    code = f"""
import sys
import recokit as rk
from recokit.monitoring import FeatureLog
log = FeatureLog({str(tmp_path)!r}, format="parquet")
pipeline = rk.Pipeline([rk.candidates.Popular()], observers=[log]).fit(rk.testing.toy_dataset())
assert "pyarrow.parquet" in sys.modules  # not for the first request to load
pipeline.recommend(["user-1", None], now=2e9)
log.close()
assert len(FeatureLog.load(log.path)) == 2
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(rk.__file__).parents[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0}, "sample"),
        ({"sample": 1.5}, "sample"),
        ({"unserved": -1}, "unserved"),
        ({"part_rows": 0}, "part_rows"),
        ({"part_rows": 10, "max_rows": 5}, "max_rows"),
        ({"format": "csv"}, "csv"),
    ],
)
def test_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FeatureLog(tmp_path, **options)


# -- reading back ----------------------------------------------------------------------------------------------------


def test_damaged_parts(toy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no parts"):
        FeatureLog.load(tmp_path)
    for form in ("parquet", "npz"):
        (tmp_path / form).mkdir()
        (tmp_path / form / f"part-1.{form}").write_bytes(b"PAR1 nothing of the kind")
        with pytest.raises(DataError, match="damaged"):
            FeatureLog.load(tmp_path / form)


def test_parts_of_an_unknown_version(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = FeatureLog(tmp_path)
    rk.Pipeline([candidates.Popular()], observers=[log]).fit(toy).recommend([None], now=toy.until)
    monkeypatch.setattr(files, "_VERSION", 99)
    log.close()
    monkeypatch.undo()
    with pytest.raises(DataError, match="version 99"):
        FeatureLog.load(tmp_path)


def test_features_of_several_models_are_matched_by_name(toy: Dataset, tmp_path: Path) -> None:
    log = FeatureLog(tmp_path)
    blocks = [features.ItemActivity(windows=("7D",)), features.UserItem(windows=())]
    for i, stages in enumerate((blocks, blocks[::-1])):
        pipeline = rk.Pipeline([candidates.Popular(), *stages], observers=[log]).fit(toy)
        pipeline.recommend(["user-1"], k=3, now=toy.until + i)
    log.flush()
    back = FeatureLog.load(tmp_path)
    assert len(back.models) == 2
    direct = pipeline.recommend(["user-1"], k=3, now=toy.until).trace.selected
    for name in back.feature_names:
        column = back.features[:3, back.feature_names.index(name)]
        np.testing.assert_allclose(column, direct.feature(name)[:3], rtol=1e-6)
    rk.Pipeline([candidates.Popular(), blocks[0]], observers=[log]).fit(toy).recommend(
        ["user-1"], now=toy.until
    )
    log.flush()
    with pytest.raises(DataError, match="lacks user_item"):
        FeatureLog.load(tmp_path)
    names = [name for name in back.feature_names if name.startswith("item")]
    assert FeatureLog.load(tmp_path, features=names).feature_names == tuple(names)


def _logged(now: list[float], user: list[Any], items: list[list[int]]) -> LoggedRequests:
    n, counts = len(now), [len(row) for row in items]
    total = sum(counts)
    return LoggedRequests(
        impression=np.arange(1, n + 1),
        now=np.array(now),
        user=np.array(user, object),
        model=np.full(n, "m", object),
        weight=np.full(n, 2.0),
        seed=np.zeros(n, np.uint64),
        k=np.full(n, 2),
        given=np.full(n, None, object),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        item=np.array([item for row in items for item in row]),
        position=np.concatenate([np.arange(count) + 1 for count in counts]),
        score=np.zeros(total, np.float32),
        sources=np.zeros(total, np.uint64),
        propensity=np.full(total, 0.5),
        features=np.arange(total, dtype=np.float32)[:, None],
        source_names=("s",),
        feature_names=("f",),
    )


def _events(rows: list[tuple[int, int, float, float]]) -> Dataset:
    columns = ("user_id", "item_id", "timestamp", "weight")
    log = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    return Dataset.from_frame(log).before(1000.0)


def test_labels_are_what_followed_within_the_window() -> None:
    logged = _logged([100.0, 150.0, 300.0], [1, 1, 2], [[10, 11, 12], [10, 13], [10, 99]])
    outcomes = _events(
        [
            (1, 10, 99.0, 1.0),  # before the request
            (1, 11, 100.0, 0.5),  # at its very moment: no feature has seen it
            (1, 11, 120.0, 0.2),  # weaker than the other
            (1, 10, 160.0, 1.0),  # the latest request that had the item gets it
            (1, 12, 200.0, 1.0),  # the window has ended
            (2, 10, 349.0, 0.1),
            (3, 13, 160.0, 1.0),  # another user
        ]
    )
    data = logged.ranking_data(outcomes, "50s")
    assert data.label.tolist() == pytest.approx([0.0, 0.5, 0.0, 1.0, 0.0, 0.1, 0.0])
    assert data.offsets.tolist() == [0, 3, 5, 7]
    assert data.weight.tolist() == [2.0] * 7 and data.columns["position"].tolist() == [1, 2, 3, 1, 2, 1, 2]
    assert data.columns["propensity"].tolist() == [0.5] * 7
    assert data.columns["impression"].tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert (data.now == np.repeat(logged.now, [3, 2, 2])).all()
    assert data.item[-1] == 0 and outcomes.item_ids.decode(data.item[:1]).tolist() == [10]


@given(st.data())
def test_labels_equal_a_loop(data: Any) -> None:
    small = st.integers(1, 3)
    times = st.integers(0, 12).map(float)
    n = data.draw(st.integers(1, 5))
    now = data.draw(st.lists(times, min_size=n, max_size=n, unique=True).map(sorted))
    user = data.draw(st.lists(small, min_size=n, max_size=n))
    items = data.draw(st.lists(st.lists(small, min_size=1, unique=True), min_size=n, max_size=n))
    event = st.tuples(small, small, times, st.sampled_from([0.0, 0.5, 1.0]))
    rows = data.draw(st.lists(event, min_size=1, max_size=12))
    expected = []
    for b in range(n):
        for item in items[b]:
            gains = [0.0]
            for who, what, when, weight in rows:
                had = [
                    t
                    for t, u, row in zip(now, user, items, strict=True)
                    if u == who and what in row and t <= when
                ]
                if (who, what) == (user[b], item) and had and max(had) == now[b] and when < now[b] + 4:
                    gains.append(weight)
            expected.append(max(gains))
    found = _logged(now, user, items).ranking_data(_events(rows), "4s").label
    assert found.tolist() == expected


def test_incomplete_windows_and_anonymous_users(caplog: pytest.LogCaptureFixture) -> None:
    logged = _logged([100.0, 960.0, 200.0], [1, 1, None], [[10], [10], [10]])
    outcomes = _events([(1, 10, 110.0, 1.0)])
    with caplog.at_level("INFO", "recokit"):
        data = logged.ranking_data(outcomes, "50s")
    assert data.now.tolist() == [100.0]
    assert "2 of 3 requests left out, 1 of them with an incomplete" in caplog.text
    with pytest.raises(DataError, match="1 requests whose window") as error:
        logged.ranking_data(outcomes, "50s", incomplete="raise")
    assert list(error.value.rows) == [1]
    with pytest.raises(DataError, match="no candidates to train on"):
        logged.ranking_data(outcomes, "950s")
    with pytest.raises(ConfigurationError, match="incomplete"):
        logged.ranking_data(outcomes, "50s", incomplete="keep")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no request of model"):
        logged.ranking_data(outcomes, "50s", models=["mm"])


def test_validation_is_the_newest_part() -> None:
    logged = _logged([100.0, 150.0, 300.0], [1, 1, 2], [[10, 11], [10], [10, 11]])
    outcomes = _events([(1, 10, 160.0, 1.0), (2, 11, 310.0, 1.0)])
    data = logged.ranking_data(outcomes, "100s", validation_from=200.0)
    assert data.validation is not None
    assert (data.now.tolist(), data.label.tolist()) == ([100.0, 100.0, 150.0], [0.0, 0.0, 1.0])
    assert data.validation.label.tolist() == [0.0, 1.0]
    assert data.validation.columns["position"].tolist() == [1, 2]
    with pytest.raises(DataError, match="validation_from"):
        logged.ranking_data(outcomes, "100s", validation_from=400.0)


def test_a_ranker_learns_from_the_log_and_serves(toy: Dataset, model: Path, tmp_path: Path) -> None:
    with FeatureLog(tmp_path, unserved=5) as log:
        pipeline = served(model, log)
        for hours in range(0, 96, 12):
            pipeline.recommend(USERS, k=10, now=pipeline.fitted_until + 3600 * hours)
    data = FeatureLog.read(tmp_path, toy, "2D")
    assert (data.columns["position"] > 0).all() and data.label.max() > 0
    everything = FeatureLog.read(tmp_path, toy, "2D", served_only=False)
    assert len(everything) > len(data) and data.schema.item_ids is toy.item_ids  # type: ignore[union-attr]
    again = pipeline.replace("logistic_regression", rankers.LogisticRegression().fit(data))
    assert len(again.recommend(["user-1"], k=3, now=toy.until).ids(0)) == 3
