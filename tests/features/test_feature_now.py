"""Conversion, Session, Similarity, Materialized: each value equals its definition, computed in loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.data import DAY, Candidates, Dataset, LiveEvents, Ragged, Requests, UserHistory
from recokit.errors import ConfigurationError, NotFittedError
from recokit.features import (
    Assemble,
    Calendar,
    Conversion,
    ItemActivity,
    Materialized,
    Session,
    Similarity,
    Standard,
    UserItem,
)

CATEGORY = {1: "a", 2: "b", 3: "a", 4: None}
EVENT = st.tuples(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 60).map(lambda t: t * 300.0),
    st.sampled_from(["view", "purchase"]),
)


def dataset(events):
    names = ("user_id", "item_id", "timestamp", "event")
    columns = dict(zip(names, zip(*events, strict=True), strict=True))
    items = {"item_id": [1, 2, 3, 4], "category": list(CATEGORY.values())}
    return Dataset.from_frame(columns, users={"user_id": [1, 2, 3]}, items=items)


def batch(now, data=None):
    """Everybody, known or not, with every item."""
    requests = Requests.build(np.arange(4), now=np.asarray(now, float))
    if data is not None:
        known = UserHistory().fit(data).hydrate(requests)
        requests = requests.hydrated(known.columns, known.ragged)
    return Candidates.from_lists([[1, 2, 3, 4]] * 4, requests=requests)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(EVENT, min_size=1, max_size=30),
    st.integers(0, 62).map(lambda t: t * 300.0),
    st.sampled_from([None, 3000.0]),
    st.sampled_from([0.0, 5.0]),
)
def test_conversion_is_smoothed_towards_everybody_s_rate(events, now, window, prior):
    events = [
        *events,
        (1, 1, 1e9, "view"),
        (1, 1, 1e9, "purchase"),
    ]  # both types are known, after all requests
    data, candidates = dataset(events), batch(np.full(4, now))
    seen = [e for e in events if e[2] < now and (window is None or e[2] >= now - window)]

    def rate(chosen):
        strong, weak = (sum(e[3] == kind for e in chosen) for kind in ("purchase", "view"))
        everybody = [sum(e[3] == kind for e in seen) for kind in ("purchase", "view")]
        if not everybody[1]:
            return math.nan
        smoothed = weak + prior
        return (strong + prior * everybody[0] / everybody[1]) / smoothed if smoothed else math.nan

    for entity in ("item", "user", "item.category"):
        block = Conversion("purchase", "view", entity=entity, window=window, prior=prior).fit(data)
        values = block.featurize(candidates).ravel()
        for i in range(len(candidates)):
            user, item = int(candidates.user[i]), int(candidates.item[i])
            label = CATEGORY[item]
            of = {
                "item": lambda e, item=item: e[1] == item,
                "user": lambda e, user=user: e[0] == user,
                "item.category": lambda e, label=label: label is not None and CATEGORY[e[1]] == label,
            }[entity]
            np.testing.assert_allclose(values[i], rate([e for e in seen if of(e)]), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"to": "buy", "per": "buy"}, "two event types"),
        ({"to": "buy", "per": "see", "prior": -1}, "prior=-1"),
        ({"to": "buy", "per": "see", "entity": "shop"}, "'shop'"),
    ],
)
def test_conversion_checks_its_options(options, expected):
    with pytest.raises(ConfigurationError, match=expected):
        Conversion(options.pop("to"), options.pop("per"), **options)


def naive_session(events, user, now, gap):
    mine = [e for e in sorted(events, key=lambda e: e[2]) if e[0] == user and e[2] < now]
    session = []
    for event in reversed(mine):
        later = session[0][2] if session else now
        if later - event[2] > gap:
            break
        session.insert(0, event)
    return session


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=30, unique_by=lambda e: (e[0], e[2])), st.data())
def test_a_session_is_the_last_run_of_events_without_a_pause(events, data):
    now = np.array(data.draw(st.lists(st.integers(0, 66).map(lambda t: t * 300.0), min_size=4, max_size=4)))
    known = dataset(events)
    candidates = batch(now, known)
    block = Session("category", gap="20min").fit(known).bind(known.schema)
    for i, values in enumerate(block.featurize(candidates).tolist()):
        found = dict(zip(block.names, values, strict=True))
        session = naive_session(events, candidates.user[i], candidates.now[i], 1200)
        item = int(candidates.item[i])
        label = CATEGORY[item]
        same = [CATEGORY[e[1]] == label and label is not None for e in session]
        assert found["session_events"] == len(session)
        assert found["in_session"] == any(e[1] == item for e in session)
        minutes = (session[-1][2] - session[0][2]) / 60 if session else 0
        assert found["session_minutes"] == pytest.approx(minutes)
        idle = (candidates.now[i] - session[-1][2]) / 60 if session else math.nan
        np.testing.assert_allclose(found["session_idle_minutes"], idle)
        share = sum(same) / len(session) if session else math.nan
        np.testing.assert_allclose(found["session_category_share"], share, rtol=1e-6)
        assert found["session_last_category"] == bool(session and same[-1])


def test_a_session_before_bind_says_what_to_do():
    data = dataset([(1, 1, 0.0, "view")])
    with pytest.raises(NotFittedError, match="bind"):
        Session("category").featurize(batch(np.full(4, 60.0), data))


def test_similarity_looks_at_the_last_items_only():
    vectors = np.array([[0, 0], [1, 0], [0, 3], [-2, 0], [0, 0]], np.float32)
    history = Ragged.from_lists([[3, 1, 2], [], [4]])
    requests = Requests.build(np.array([1, 2, 3]), ragged={"history": history})
    candidates = Candidates.from_lists([[1, 2, 4]] * 3, requests=requests)
    block = Similarity(vectors, name="text", max_history=2)
    assert block.names == ("text_to_history", "text_to_last")
    root = math.sqrt(0.5)
    expected = [[root, 0], [root, 1], [0, 0], *[[math.nan] * 2] * 3, [0, 0], [0, 0], [0, 0]]
    np.testing.assert_allclose(block.featurize(candidates), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "options", "expected"),
    [
        (np.zeros(3, np.float32), {}, r"shape \(3,\)"),
        (np.full((3, 2), np.nan, np.float32), {}, "finite"),
        (np.zeros((3, 2), np.float32), {"max_history": 0}, "max_history=0"),
    ],
)
def test_similarity_checks_its_options(vectors, options, expected):
    with pytest.raises(ConfigurationError, match=expected):
        Similarity(vectors, **options)


EVENTS = [
    (u, i, 300.0 * t, "view") for t, (u, i) in enumerate([(1, 1), (2, 1), (3, 2), (1, 4), (2, 3), (1, 1)] * 9)
]


def test_what_is_kept_ready_equals_what_is_computed():
    data = dataset(EVENTS)
    block = Materialized(ItemActivity(windows=("1h", "3h")), bucket="1h").fit(data)
    now = np.array([7300.0, 7250.0, 10_799.0, 7200.0])
    directly = block.featurize(batch(now))
    exact = ItemActivity(windows=("1h", "3h")).fit(data)
    # All of the third hour see its start.
    np.testing.assert_array_equal(directly, exact.featurize(batch(np.full(4, 7200.0))))
    block.refresh(now=9000.0)
    np.testing.assert_array_equal(block.featurize(batch(now)), directly)
    # A batch with another hour computes all of it, and agrees.
    mixed = np.array([7300.0, 11_000.0, 7300.0, 3.0])
    by_start = exact.featurize(batch(np.array([7200.0, 10_800.0, 7200.0, 0.0])))
    np.testing.assert_array_equal(block.featurize(batch(mixed)), by_start)


def test_what_is_ready_is_read_not_computed(monkeypatch):
    block = Materialized(ItemActivity(windows=("1h",)), bucket="1h").fit(dataset(EVENTS))
    block.refresh(now=9000.0)
    monkeypatch.setattr(block.block_, "featurize", None)
    assert block.featurize(batch(np.full(4, 8000.0))).shape == (16, len(block.names))
    with pytest.raises(TypeError):
        block.featurize(batch(np.full(4, 12_000.0)))


def test_a_run_keeps_the_version_it_pinned():
    block = Materialized(ItemActivity(windows=("1h",)), bucket="1h").fit(dataset(EVENTS))
    block.refresh(now=9000.0)
    candidates = batch(np.full(4, 8000.0))
    pinned = {id(block.ready_): block.ready_.pin()}
    before = block.featurize(candidates)
    block.ready_.set(replace(block.ready_.pin()[1], values=before[:5] * 0 - 1))
    held = replace(candidates, requests=replace(candidates.requests, pinned=pinned))
    np.testing.assert_array_equal(block.featurize(held), before)
    assert (block.featurize(candidates) == -1).all()


def test_only_featurizers_are_materialised():
    with pytest.raises(ConfigurationError, match="expected a featurizer"):
        Materialized(UserHistory())


def test_every_feature_has_a_meaning():
    data = dataset(EVENTS)
    table = Standard().fit(data).table()
    assert len({part.meaning for part in table}) == len(table)
    assert all(part.family and part.meaning for part in table)
    assert "item_recency_days | item activity |" in table.to_markdown()
    assert "item_recency_days" in table._repr_html_() and "item_recency_days" in str(table)
    assert repr(table) == f"FeatureTable({len(table)} features of {len(table.families)} families)"

    class Mine:
        """Ones.

        Nothing else.
        """

        names = ("one",)

        def featurize(self, candidates):
            return np.ones((len(candidates), 1), np.float32)

    mine = Assemble([Calendar(), Mine()]).table()[-1]
    assert (mine.name, mine.family, mine.meaning) == ("one", "Mine", "Ones.")


def test_features_that_go_together_are_left_out_and_said_so():
    # Every event is a view, so the view features tell what the others do.
    data = dataset([*EVENTS, (1, 1, 1e6, "purchase")])
    standard = Standard().fit(data)
    for name, why in standard.left_out_.items():
        assert name not in standard.names
        fixed = ("constant", "grows with the length of the log")
        assert why in fixed or why.removeprefix("goes with ") in standard.names
    assert any(why.startswith("goes with") for why in standard.left_out_.values())


def test_live_events_change_the_features_of_the_next_request():
    data, live = dataset(EVENTS), LiveEvents()
    block = Assemble([UserItem(windows=("1D",)), Session()], live_events=live).fit(data)
    now = EVENTS[-1][2] + DAY
    before = block.featurize(batch(np.full(4, now)))
    live.append({"user_id": [2], "item_id": [4], "timestamp": [now - 60], "event": ["view"]})
    after = block.featurize(batch(np.full(4, now)))
    place = block.names.index("user_item_count")
    assert (after[:, place] - before[:, place]).tolist() == [float(i == 11) for i in range(16)]


def test_a_pause_of_exactly_the_gap_ends_no_session():
    events = [(1, 1, 0.0, "view"), (1, 2, 1200.0, "view"), (1, 3, 2400.5, "view"), (1, 4, 3600.0, "view")]
    data = dataset(events)
    block = Session(gap="20min").fit(data).bind(data.schema)

    def depth(now):
        return block.featurize(batch(np.full(4, now), data))[4, 0]  # user 1

    assert [depth(now) for now in (2400.0, 2400.4, 2500.0, 4800.0, 4800.5)] == [2, 0, 1, 2, 0]
