import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.data import Dataset, activity_segments, segments_by
from recokit.data.table import Categorical
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, DataError


def dataset(counts, users=None):
    ids = [f"u{i}" for i, count in enumerate(counts) for _ in range(count)]
    log = {"user": ids, "item": [1] * len(ids), "timestamp": range(len(ids))}
    everyone = {"user_id": [f"u{i}" for i in range(len(counts))], **(users or {})}
    return Dataset.from_frame(log, users=everyone)


def names(segments):
    return segments.labels.decode(segments.codes).tolist()


def test_r8_boundaries():
    data = dataset([0, 4, 5, 49, 50])
    expected = ["cold-start", "cold-start", "cold-start", "casual", "casual", "power"]
    assert names(activity_segments(data)) == expected
    assert names(segments_by(data, "activity")) == expected


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 5), st.integers(1, 6))
def test_activity_against_a_naive_count(counts, cold, more):
    power = cold + more
    expected = ["cold-start" if c < cold else "casual" if c < power else "power" for c in counts]
    assert names(activity_segments(dataset(counts), cold=cold, power=power))[1:] == expected


def test_activity_counts_what_the_dataset_holds():
    data = dataset([6])
    assert names(activity_segments(data))[1] == "casual"
    assert names(activity_segments(data.before(4)))[1] == "cold-start"


@pytest.mark.parametrize(("cold", "power"), [(0, 5), (5, 5), (9, 5)])
def test_activity_thresholds_must_ascend(cold, power):
    with pytest.raises(ConfigurationError, match="0 < cold < power"):
        activity_segments(dataset([1]), cold=cold, power=power)


def test_by_a_user_column():
    data = dataset(
        [1, 1, 1], {"region": ["north", None, "south"], "age": [30.0, 25.5, None], "vip": [True, False, True]}
    )
    for by in ("region", "user.region"):
        assert names(segments_by(data, by)) == [None, "north", None, "south"]
    assert names(segments_by(data, "age")) == [None, "30", "25.5", None]
    assert names(segments_by(data, "vip")) == [None, "1", "0", "1"]


def test_by_an_array():
    data = dataset([1, 1])
    assert names(segments_by(data, np.array([2, 7, 2]))) == ["2", "7", "2"]
    assert names(segments_by(data, np.array([np.nan, 1.5, 1.5]))) == [None, "1.5", "1.5"]
    assert names(segments_by(data, np.array([None, "a", "b"], object))) == [None, "a", "b"]
    assert names(segments_by(data, np.array(["", "a", "b"]))) == ["", "a", "b"]
    assert names(segments_by(data, np.array([None, 3, 2], object))) == [None, "3", "2"]


def test_by_a_mapping_of_external_ids():
    data = dataset([1, 1])
    assert names(segments_by(data, {"u1": "b", "stranger": "x"})) == [None, None, "b"]
    assert names(segments_by(data, {})) == [None, None, None]
    with pytest.raises(DataError, match="convert them with"):
        segments_by(data, {5: "b"})


def test_by_a_categorical():
    data = dataset([1, 1])
    ready = Categorical(np.array([0, 1, 1]), Vocabulary(["a"]))
    assert segments_by(data, ready) is ready
    for codes in ([0, 1], [0, 1, 2], [-1, 0, 1]):
        with pytest.raises(ConfigurationError, match="expected shape"):
            segments_by(data, Categorical(np.array(codes), Vocabulary(["a"])))


def test_errors_name_what_was_found():
    users = {"name": [f"name {i}" for i in range(150)], "score": np.arange(150.0)}
    data = dataset([1] * 150, users)
    with pytest.raises(ConfigurationError, match="did you mean 'activity'"):
        segments_by(data, "activty")
    with pytest.raises(ConfigurationError, match="free text or times"):
        segments_by(data, "name")
    with pytest.raises(ConfigurationError, match="150 distinct values in user column 'score'"):
        segments_by(data, "score")
    with pytest.raises(ConfigurationError, match=r"shape \(3,\); expected \(151,\)"):
        segments_by(data, np.zeros(3))
    with pytest.raises(DataError, match="text and numbers"):
        segments_by(data, np.array(["a", 1] + [None] * 149, object))
