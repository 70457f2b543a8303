"""Rows from what was shown: which impressions, which labels, features as of which moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import DAY, Dataset, Ragged, Requests
from recokit.datasets import make_marketplace
from recokit.debias import ImpressionLog, PositionBias, impression_rows, inverse_propensity
from recokit.errors import ConfigurationError, DataError
from recokit.monitoring import FeatureLog

DAYS = 20


@pytest.fixture(scope="module")
def market():
    return make_marketplace(60, 40, seed=2, days=DAYS, positions=4)


@pytest.fixture(scope="module")
def cut(market):
    return float(market.dataset.interactions.timestamp[0]) + DAYS / 2 * DAY


@pytest.fixture(scope="module")
def log(market, cut):
    everything = ImpressionLog.of(market.impressions)
    groups = np.unique(everything.group[everything.timestamp < cut])
    return everything.take(~np.isin(everything.group, groups))


@pytest.fixture(scope="module")
def pipeline(market, cut):
    stages = [candidates.Popular(), features.ItemActivity(windows=("7D",)), features.UserItem()]
    return rk.Pipeline(stages).fit(market.dataset.before(cut)).with_events(market.dataset)


def key(group, item):
    return list(zip(np.asarray(group).tolist(), np.asarray(item).tolist(), strict=True))


def test_every_impression_of_a_known_item_is_a_row_with_its_label(pipeline, log):
    found = impression_rows(pipeline, log)
    data = found.data
    assert len(data) == len(log) == found.report.impressions
    assert found.report.clicks == log.clicked.sum() and found.report.lists == len(np.unique(log.group))
    place = {pair: i for i, pair in enumerate(key(log.group, log.item))}
    at = np.array([place[pair] for pair in key(data.columns["impression"], data.item)])
    assert sorted(at.tolist()) == list(range(len(log)))
    np.testing.assert_array_equal(data.label, log.label[at])
    np.testing.assert_array_equal(data.columns["position"], log.position[at])
    np.testing.assert_array_equal(data.columns["propensity"], log.propensity[at])
    np.testing.assert_array_equal(data.user, log.user[at])


def test_groups_are_lists_in_the_order_of_time_at_the_moment_of_their_first_impression(pipeline, log):
    data = impression_rows(pipeline, log.take(np.random.default_rng(0).permutation(len(log)))).data
    began = {group: log.timestamp[log.group == group].min() for group in np.unique(log.group).tolist()}
    for group, (first, last) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
        lists = np.unique(data.columns["impression"][first:last])
        assert len(lists) == 1, group
        assert (data.now[first:last] == began[int(lists[0])]).all()
    assert (np.diff(data.now) >= 0).all()


def test_features_are_those_of_a_request_at_the_lists_time(pipeline, log):
    data = impression_rows(pipeline, log, chunk_rows=7).data
    group = len(data.offsets) // 2
    rows = slice(data.offsets[group], data.offsets[group + 1])
    asked = Requests.build(
        data.user[rows][:1],
        now=float(data.now[rows][0]),
        ragged={"items": Ragged.from_lists([data.item[rows]])},
    )
    batch = pipeline.candidates(asked)
    assert batch.feature_names == data.feature_names
    mine = dict(zip(data.item[rows].tolist(), data.features[rows], strict=True))
    for item, row in zip(batch.item.tolist(), batch.features, strict=True):
        np.testing.assert_array_equal(mine[item], row)


def test_features_do_not_know_clicks_within_their_own_list(market, pipeline, log):
    # A list's clicks follow within a minute; without them the rows must be the same.
    data = impression_rows(pipeline, log).data
    last = int(data.columns["impression"][-1])
    events = market.dataset.interactions
    earlier = events.take(np.flatnonzero(events.session != last))
    assert len(earlier) < len(events)
    other = pipeline.with_events(market.dataset.with_interactions(earlier))
    again = impression_rows(other, log.take(log.group == last)).data
    rows = data.columns["impression"] == last
    np.testing.assert_array_equal(again.features, data.features[rows])


def test_what_is_left_out_is_counted(market, pipeline, log):
    first = np.flatnonzero(log.group == log.group[0])
    odd = log.take(np.concatenate([first, first[:1], first[:2]]))
    odd.position[len(first) + 1 :] = [0, 9]
    odd.item[len(first) + 2] = 0
    found = impression_rows(pipeline, odd)
    report = found.report
    assert (report.impressions, report.repeated, report.not_shown, report.unknown_items) == (
        len(first),
        1,
        1,
        1,
    )
    assert "left out, repeated" in str(report) and "left out, unknown items" in report._repr_html_()


def test_live_rules_of_today_do_not_judge_the_past(market, cut, log):
    stages = [candidates.Popular(), rules.InStock(np.zeros(41)), features.ItemActivity(windows=("7D",))]
    pipeline = rk.Pipeline(stages).fit(market.dataset.before(cut))
    found = impression_rows(pipeline, log)
    assert found.report.skipped == ("in_stock",) and found.report.filtered == 0
    assert "in_stock" in str(found.report)


def test_filters_of_the_pipeline_drop_rows_and_say_so(market, cut, log):
    blocked = market.dataset.item_ids.decode(np.unique(log.item)[:5]).tolist()
    stages = [candidates.Popular(), rules.Blocked(blocked), features.ItemActivity(windows=("7D",))]
    found = impression_rows(rk.Pipeline(stages).fit(market.dataset.before(cut)), log)
    gone = np.isin(log.item, np.unique(log.item)[:5]).sum()
    assert found.report.filtered == gone > 0 and len(found.data) == len(log) - gone


def test_nothing_left_is_an_error(market, cut, pipeline, log):
    stages = [candidates.Popular(), rules.Blocked(market.dataset.item_ids.ids.tolist())]
    with pytest.raises(DataError, match="found no impression that passes"):
        impression_rows(rk.Pipeline(stages).fit(market.dataset.before(cut)), log)
    with pytest.raises(DataError, match="found no impression of a known item"):
        impression_rows(pipeline, replace(log, position=np.zeros(len(log), np.int64)))


def test_later_lists_validate(pipeline, log):
    whole = impression_rows(pipeline, log).data
    middle = float(np.median(whole.now))
    data = impression_rows(pipeline, log, validation_from=middle).data
    assert (data.now < middle).all() and (data.validation.now >= middle).all()
    assert len(data) + len(data.validation) == len(whole)
    np.testing.assert_array_equal(
        np.concatenate([data.columns["position"], data.validation.columns["position"]]),
        whole.columns["position"],
    )
    with pytest.raises(DataError, match="validation_from"):
        impression_rows(pipeline, log, validation_from=float(whole.now[-1]) + 1)


def test_groups_are_taken_in_any_order_with_all_their_columns(pipeline, log):
    data = impression_rows(pipeline, log).data
    taken = data.take(np.array([3, 0]))
    index = np.concatenate([np.arange(*data.offsets[3:5]), np.arange(*data.offsets[:2])])
    assert taken.offsets.tolist() == [0, data.offsets[4] - data.offsets[3], len(index)]
    for name in ("features", "label", "weight", "user", "item", "now"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(data, name)[index])
    for name, column in data.columns.items():
        np.testing.assert_array_equal(taken.columns[name], column[index])


def test_a_source_that_knows_the_future_is_an_error(market, log):
    pipeline = rk.Pipeline([candidates.ItemKNN(n_neighbors=3)]).fit(market.dataset)
    with pytest.raises(ConfigurationError, match="found item_knn fitted on events until"):
        impression_rows(pipeline, log)


def test_rows_of_a_feature_log_are_corrected_and_learned_from_alike(market, cut, tmp_path):
    log = FeatureLog(tmp_path)
    stages = [candidates.Popular(), features.ItemActivity(windows=("7D",)), features.UserItem()]
    pipeline = rk.Pipeline(stages, observers=[log]).fit(market.dataset.before(cut))
    pipeline.recommend(market.dataset.user_ids.ids.tolist(), k=4, now=cut)
    log.close()
    rows = FeatureLog.read(tmp_path, market.dataset, "7D")
    assert np.count_nonzero(rows.label) > 0 and set(rows.columns["position"].tolist()) == {1, 2, 3, 4}
    bias = PositionBias.known(market.position_bias)
    weighed = inverse_propensity(rows, bias, normalize=False).data
    clicked = rows.label > 0
    expected = 1 / market.position_bias[rows.columns["position"] - 1]
    np.testing.assert_allclose(weighed.weight, np.where(clicked, expected, 1.0), rtol=1e-6)
    for ranker in (rankers.LogisticRegression(), rankers.PositionAware(rankers.LogisticRegression())):
        score = ranker.fit(weighed).score(pipeline.candidates(pipeline.requests(["user-1"], now=cut)))
        assert np.isfinite(score).all()


# -- logs --------------------------------------------------------------------------------------------


def events(rows, **more):
    names = ("user_id", "item_id", "timestamp", "event", "impression_id", "position")
    frame = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return Dataset.from_frame({**frame, **more})


def test_shown_events_and_what_followed_become_impressions():
    data = events(
        [
            ("ann", 1, 10.0, "impression", 7, 1),
            ("ann", 2, 10.0, "impression", 7, 2),
            ("ann", 2, 11.0, "click", 7, 2),
            ("ann", 2, 12.0, "impression", 7, 3),  # recorded twice
            ("bob", 1, 20.0, "impression", 8, 1),
            ("bob", 1, 25.0, "click", 8, 1),
            ("bob", 1, 29.0, "purchase", 8, 1),
            ("ann", 1, 30.0, "purchase", 0, 0),  # of no list
        ]
    )
    log = ImpressionLog.from_events(data.interactions)
    assert log.label.tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert log.position.tolist() == [1, 2, 1] and log.timestamp.tolist() == [10.0, 10.0, 20.0]
    assert log.group[0] == log.group[1] != log.group[2] and log.clicked.tolist() == [False, True, True]
    assert ImpressionLog.from_events(data.interactions, labels=["purchase"]).label.tolist() == [0.0, 0.0, 1.0]
    assert repr(log) == "ImpressionLog(3 impressions, 2 lists, 2 clicks)"


def test_places_with_ids_of_their_own_are_grouped_by_session(market):
    log = ImpressionLog.from_events(
        market.dataset.interactions, shown="view", group="session", labels=["click"]
    )
    viewed = market.dataset.interactions.of("view")
    assert len(log) == len(viewed) and log.clicked.sum() == len(market.dataset.interactions.of("click"))
    assert len(np.unique(log.group)) == len(np.unique(viewed.session))


def test_a_log_without_impressions_is_an_error(market):
    log = market.dataset.interactions
    with pytest.raises(DataError, match="found no position"):
        ImpressionLog.from_events(log.replace(position=None))
    with pytest.raises(DataError, match="found no event 'impression'; expected one of view, click"):
        ImpressionLog.from_events(log)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.array([0.0, -1.0])}, "found label=-1.0"),
        ({"position": np.array([1, -2])}, "found position=-2"),
        ({"timestamp": np.zeros(3)}, "found timestamp of shape"),
        ({"user": np.array([1, 2])}, "found list 5 with two users"),
    ],
)
def test_a_malformed_log_is_an_error(change, message):
    one = {
        "user": np.ones(2, int),
        "item": np.array([1, 2]),
        "timestamp": np.zeros(2),
        "position": np.array([1, 2]),
    }
    columns = {**one, "label": np.zeros(2), "group": np.array([5, 5]), **change}
    with pytest.raises(DataError, match=message):
        ImpressionLog(**columns)
