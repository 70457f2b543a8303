"""Feeds: every event once, whatever the log, the stores or the process do."""

from __future__ import annotations

import json
import logging
import math
import threading
import time

import pytest

import recokit as rk
from recokit import candidates
from recokit.data import LiveEvents
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.serving import Fed, Feed, Message, ResidentLog
from recokit.serving.events import decoded, encoded
from recokit.stores import ResidentSessions


def event(n, user="ann", **more):
    return {"user_id": user, "item_id": 100 + n, "timestamp": 1e9 + n, "event": "click", **more}


def items(sessions, user="ann"):
    return sessions.recent([user], now=1e9 + 1e6).items.tolist()


@pytest.fixture
def sessions():
    return ResidentSessions(max_events=10_000, ttl="1000D")


def test_events_reach_live_events_sessions_and_the_function(sessions):
    log, live, told = ResidentLog(), LiveEvents(), []
    feed = Feed(log, live_events=live, sessions=sessions, on_events=told.extend)
    log.append([event(1, session_id="s", value=2.5, event_id=7), event(2)])
    assert feed.step() == Fed(applied=2)
    assert items(sessions) == ["101", "102"] and len(live) == 2
    held = live.pin()[1].events
    assert held.session.tolist() == ["s", None] and held.value[0] == 2.5 and math.isnan(held.value[1])
    assert [one["event_id"] for one in told] == ["7", "@2"]
    assert feed.until == 1e9 + 2 and feed.total == Fed(applied=2) and feed.errors == 0
    assert feed.step() == Fed()


def test_an_event_that_comes_again_is_applied_once(sessions):
    log, live, told = ResidentLog(), LiveEvents(), []
    feed = Feed(log, live_events=live, sessions=sessions, on_events=told.extend)
    log.append([event(1, event_id="a"), event(1, event_id="a"), event(2, event_id="b")])
    assert feed.step() == Fed(applied=2, repeated=1)
    log.append([event(2, event_id="b"), event(2)])  # the last has no id: its place is its id
    assert feed.step() == Fed(applied=1, repeated=1)
    assert len(told) == 3 and feed.total == Fed(applied=3, repeated=2)


def test_ids_are_remembered_as_long_as_declared():
    log, told = ResidentLog(), []
    feed = Feed(log, on_events=told.extend, remember=2)
    for name in ("a", "b", "b", "c", "a"):
        log.append([event(1, event_id=name)])
        feed.step()
    assert [one["event_id"] for one in told] == ["a", "b", "c", "a"]
    assert Feed(log, on_events=print).remember == 100_000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "a JSON object"),
        (b"{}", "an event without user_id"),
        (json.dumps({**event(1), "user_id": None}).encode(), "user_id=None"),
        (json.dumps({**event(1), "user_id": True}).encode(), "user_id=True"),
        (json.dumps({**event(1), "user_id": ""}).encode(), "user_id=''"),
        (json.dumps({**event(1), "item_id": 1.5}).encode(), "item_id=1.5"),
        (json.dumps({**event(1), "item_id": 2**63}).encode(), "item_id=9223372036854775808"),
        (json.dumps({**event(1), "timestamp": float("nan")}).encode(), "timestamp=nan"),
        (json.dumps({**event(1), "timestamp": "today"}).encode(), "timestamp='today'"),
        (json.dumps({**event(1), "event": ""}).encode(), "event=''"),
        (json.dumps({**event(1), "event_id": []}).encode(), "event_id=[]"),
        (json.dumps({**event(1), "session_id": {}}).encode(), "session_id={}"),
        (json.dumps({**event(1), "value": "x"}).encode(), "value='x'"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_told_and_holds_up_nothing(content, told, sessions, caplog):
    class Odd(ResidentLog):
        def poll(self, limit, timeout):
            messages = list(super().poll(limit, timeout))
            return [*messages[:1], Message("odd", content), *messages[1:]]

    log, rejected = Odd(), []
    feed = Feed(log, sessions=sessions, on_rejected=lambda *one: rejected.append(one))
    log.append([event(1), event(2)])
    with caplog.at_level(logging.WARNING, "recokit"):
        assert feed.step() == Fed(applied=2, rejected=1)
        assert items(sessions) == ["101", "102"]
        log.append([event(3)])
        assert feed.step() == Fed(applied=1, rejected=1)
    assert rejected[0][0].position == "odd" and told in rejected[0][1]
    assert caplog.text.count("is no event") == 1


def test_an_event_that_live_events_refuse_keeps_no_other_out():
    log, live, rejected = ResidentLog(), LiveEvents(), []
    feed = Feed(log, live_events=live, on_rejected=lambda *one: rejected.append(one))
    log.append([event(1), event(2, user=42), event(3), {**event(4), "timestamp": time.time() + 10 * 86_400}])
    assert feed.step() == Fed(applied=2, rejected=2)
    assert len(live) == 2 and [one.position for one, _ in rejected] == ["2", "4"]


def test_events_too_late_for_live_events_are_counted():
    log, live = ResidentLog(), LiveEvents(max_events=2)
    feed = Feed(log, live_events=live)
    log.append([event(1), event(2), event(3)])
    feed.step()
    log.append([event(0)])
    assert feed.step() == Fed(applied=1, late=1)


class Failing:
    """Sessions that are down for some calls."""

    def __init__(self, sessions, times):
        self.sessions, self.times = sessions, times

    def extend(self, *args, **options):
        self.times -= 1
        if self.times >= 0:
            raise StageError("down", name="sessions", role="store")
        self.sessions.extend(*args, **options)


def test_what_a_store_did_not_take_is_applied_again(sessions):
    log, live, told = ResidentLog(), LiveEvents(), []
    feed = Feed(log, live_events=live, sessions=Failing(sessions, 2), on_events=told.extend)
    log.append([event(1), event(2)])
    for _ in range(2):
        with pytest.raises(StageError, match="down"):
            feed.step()
        log.append([event(3)])
    assert feed.step() == Fed(applied=2) and feed.step() == Fed(applied=2)


def test_a_commit_that_fails_applies_nothing_twice(sessions):
    class Forgets(ResidentLog):
        fails = True

        def commit(self, messages):
            if self.fails:
                self.fails = False
                self.close()  # as after a crash: polled again
                raise StageError("gone", name="log", role="event log")
            super().commit(messages)

    log, told = Forgets(), []
    feed = Feed(log, on_events=told.extend)
    log.append([event(1), event(2)])
    with pytest.raises(StageError, match="gone"):
        feed.step()
    assert feed.step() == Fed(repeated=2)
    assert len(told) == 2 and feed.total == Fed(applied=2, repeated=2)


def test_a_thread_goes_on_after_failures_and_ends_when_told(sessions, caplog):
    log = ResidentLog()
    with caplog.at_level(logging.WARNING, "recokit"), Feed(log, sessions=Failing(sessions, 2)) as feed:
        with pytest.raises(ConfigurationError, match="found a feed that runs"):
            feed.start()
        log.append([event(n) for n in range(5)])
        deadline = time.monotonic() + 10
        while len(items(sessions)) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(items(sessions)) == 5 and feed.errors == 2
    assert caplog.text.count("feed from ResidentLog failed") == 1
    assert "recokit-feed" not in {thread.name for thread in threading.enumerate()}
    log.append([event(9)])
    time.sleep(0.05)
    assert len(items(sessions)) == 5  # it ended
    with feed:
        while len(items(sessions)) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(items(sessions)) == 6


def test_the_next_request_sees_an_event():
    data = rk.testing.toy_dataset()
    live, log = LiveEvents(), ResidentLog()
    knn = candidates.Merge([candidates.ItemKNN(), candidates.Popular()])
    pipeline = rk.Pipeline([candidates.UserHistory(live_events=live), knn, rk.rules.NotOwned()]).fit(data)
    now = data.until + 100.0
    first = pipeline.recommend(["user-20"], now=now).ids(0)
    log.append([{"user_id": "user-20", "item_id": first[0], "timestamp": now - 1, "event": "purchase"}])
    Feed(log, live_events=live).step()
    assert first[0] not in pipeline.recommend(["user-20"], now=now).ids(0)


def test_a_step_takes_no_more_than_a_batch(sessions):
    log = ResidentLog()
    log.append([event(n) for n in range(5)])
    feed = Feed(log, sessions=sessions, batch=2)
    assert [feed.step().applied for _ in range(4)] == [2, 2, 1, 0]
    assert Feed(log, sessions=sessions).batch == 500


def test_a_resident_log_that_is_full_refuses_whole(sessions):
    log = ResidentLog(capacity=2)
    with pytest.raises(DataError, match="expected at most 2"):
        log.append([event(1), event(2), event(3)])
    log.append([event(1), event(2)])
    polled = log.poll(1, 0.0)
    with pytest.raises(DataError, match="found 2 events waiting and 1 more"):
        log.append([event(3)])
    log.commit(polled)
    log.append([event(3)])
    assert ResidentLog().capacity == 100_000


def test_a_resident_log_gives_back_what_was_not_committed_in_order():
    log = ResidentLog()
    log.append([event(n) for n in range(3)])
    polled = log.poll(2, 0.0)
    log.commit(polled[1:])
    log.close()
    assert [one.position for one in log.poll(9, 0.0)] == ["1", "3"]
    start = time.monotonic()
    assert log.poll(9, 0.1) == [] and time.monotonic() - start >= 0.09


def test_only_events_are_written():
    log = ResidentLog()
    for odd in ({"user_id": "a"}, {**event(1), "value": math.nan}, {**event(1), "x": {1}}):
        with pytest.raises(DataError):
            log.append([event(1), odd])
    assert log.poll(9, 0.0) == []
    assert decoded(Message("5", encoded(event(1)))) == {
        **event(1), "event_id": "@5", "session_id": None, "value": pytest.approx(math.nan, nan_ok=True),
    }  # fmt: skip


@pytest.mark.parametrize(
    "options", [{}, {"on_events": print, "batch": 0}, {"on_events": print, "remember": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigurationError):
        Feed(ResidentLog(), **options)
    with pytest.raises(ConfigurationError):
        ResidentLog(capacity=0)
