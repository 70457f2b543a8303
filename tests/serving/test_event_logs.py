"""Redis Streams on a real server and Kafka on the mock broker of its own library: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.data import LiveEvents
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.serving import Feed, KafkaTopic, RedisStream
from recokit.stores import RedisSessions

ROOT = Path(__file__).resolve().parents[2]


def event(n, **more):
    return {"user_id": f"u{n % 7}", "item_id": n, "timestamp": 1e9 + n, "event": "click", **more}


class Topics:
    """Topics of a mock broker, each test its own."""

    def __init__(self):
        kafka = pytest.importorskip("confluent_kafka")
        self.broker = kafka.Producer({"bootstrap.servers": "ignored", "test.mock.num.brokers": 1})
        self.servers = next(iter(map(str, self.broker.list_topics(timeout=20).brokers.values()))).split("/")[
            0
        ]
        self.n = 0


@pytest.fixture(scope="session")
def topics():
    return Topics()


@pytest.fixture(params=["redis", "kafka"])
def log_of(request):
    """Return a function that opens the same log again, with other options."""
    opened = []
    if request.param == "redis":
        url = request.getfixturevalue("server").url

        def make(**options):
            return RedisStream(url, **options)
    else:
        topics = request.getfixturevalue("topics")
        topics.n += 1
        name = f"events-{topics.n}"

        def make(**options):
            options.pop("consumer", None)
            options.pop("claim_after", None)
            known = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}
            return KafkaTopic(topics.servers, topic=name, options=known, **options)

    def opens(**options):
        opened.append(make(**options))
        return opened[-1]

    yield opens
    for log in opened:
        log.close()


def polled(log, n, seconds=20.0):
    """Return the items of the next n entries, committed."""
    found, deadline = [], time.monotonic() + seconds
    while len(found) < n and time.monotonic() < deadline:
        messages = log.poll(n - len(found), 0.2)
        found += [int(message.content.decode().split('"item_id":')[1].split(",")[0]) for message in messages]
        log.commit(messages)
    return found


def test_entries_come_once_to_a_group_and_whole_to_each_reader_without(log_of):
    log_of().append([event(n) for n in range(20)])
    assert sorted(polled(log_of(group="g"), 20)) == list(range(20))
    assert sorted(polled(log_of(), 20)) == sorted(polled(log_of(), 20)) == list(range(20))


# Kafka's broker takes a reader for dead after 6 seconds.
@pytest.mark.parametrize("log_of", ["redis", pytest.param("kafka", marks=pytest.mark.slow)], indirect=True)
def test_what_was_not_committed_comes_again_after_a_crash(log_of):
    log = log_of(group="g", consumer="one")
    log.append([event(n) for n in range(10)])
    deadline, found = time.monotonic() + 20, []
    while len(found) < 10 and time.monotonic() < deadline:
        found += log.poll(10, 0.2)
    log.commit(found[:4])
    log.close()  # a reader of the same name begins anew, as after a crash
    left = {message.position for message in found[4:]}
    again = log_of(group="g", consumer="one")
    seen = set()
    while seen < left and time.monotonic() < deadline + 20:
        messages = again.poll(10, 0.2)
        seen |= {message.position for message in messages}
        again.commit(messages)
    assert left <= seen and not seen & {message.position for message in found[:4]}


def test_readers_of_a_group_share_the_work(server):
    first, second = (RedisStream(server.url, group="g", consumer=name) for name in ("a", "b"))
    first.append([event(n) for n in range(10)])
    both = polled(first, 4), polled(second, 6)
    assert sorted(both[0] + both[1]) == list(range(10)) and len(both[0]) == 4


def test_what_a_dead_reader_held_is_taken_over_after_a_while(server):
    dead = RedisStream(server.url, group="g", consumer="dead")
    dead.append([event(n) for n in range(3)])
    assert len(dead.poll(3, 0.0)) == 3
    patient = RedisStream(server.url, group="g", consumer="patient")
    assert patient.poll(10, 0.0) == [] and patient.claim_after == 30.0
    heir = RedisStream(server.url, group="g", consumer="heir", claim_after=0.2)
    assert heir.poll(10, 0.0) == []
    time.sleep(0.3)
    assert polled(heir, 3, 5.0) == [0, 1, 2]


def test_a_reader_without_a_group_begins_where_it_says(server):
    log = RedisStream(server.url)
    log.append([event(1)])
    time.sleep(0.05)
    since = time.time()
    time.sleep(0.05)
    log.append([event(2)])
    assert polled(RedisStream(server.url, start=since), 1) == [2]
    assert polled(RedisStream(server.url, group="late", start=since), 1) == [2]
    assert polled(RedisStream(server.url), 2) == [1, 2]


def test_a_reader_of_kafka_asks_for_the_offsets_of_a_time(topics, monkeypatch):
    """The mock broker knows no times: what it is asked is what can be tested."""
    import confluent_kafka

    asked = []

    class Consumer(confluent_kafka.Consumer):
        def offsets_for_times(self, since, timeout):
            asked.extend(since)
            return super().offsets_for_times(since, timeout)

    KafkaTopic(topics.servers, topic="timed").append([event(1)])
    monkeypatch.setattr(confluent_kafka, "Consumer", Consumer)
    log = KafkaTopic(topics.servers, topic="timed", start=1.5)
    log.poll(1, 0.0)
    log.close()
    assert {one.offset for one in asked} == {1500} and len(asked) == 4


def test_only_events_are_written_and_all_or_none(log_of):
    log = log_of()
    with pytest.raises((DataError, KeyError)):
        log.append([event(1), {"user_id": "a"}])
    log.append([event(2)])
    assert polled(log, 1) == [2]


def test_a_stream_is_cut_where_it_may_be(server):
    log = RedisStream(server.url, max_length=100)
    for _ in range(5):
        log.append([event(n) for n in range(200)])
    assert 100 <= int(server.ask("XLEN", "events")[1:-2]) < 400
    RedisStream(server.url, stream="whole").append([event(n) for n in range(400)])
    assert int(server.ask("XLEN", "whole")[1:-2]) == 400


def test_entries_that_were_cut_before_they_were_committed_are_rejected(server):
    log = RedisStream(server.url, group="g", consumer="one")
    log.append([event(1), event(2)])
    messages = log.poll(2, 0.0)
    server.ask("XDEL", "events", messages[0].position)
    feed = Feed(RedisStream(server.url, group="g", consumer="one"), on_events=lambda _: None)
    told = feed.step()
    assert (told.applied, told.rejected) == (1, 1) and feed.step().applied == 0


def test_a_server_that_is_gone_is_said_and_a_feed_goes_on_when_it_is_back(own_server):
    sessions, applied = RedisSessions(own_server.url, max_events=1000, ttl="10000D", timeout=1.0), []
    log = RedisStream(own_server.url, group="g", consumer="one")
    log.append([event(1, event_id="a")])
    feed = Feed(log, sessions=sessions, on_events=applied.extend)
    assert feed.step().applied == 1
    own_server.stop()
    with pytest.raises(StageError, match="found no answer from stream 'events'"):
        feed.step()
    with pytest.raises(StageError):
        log.append([event(2)])
    own_server.start()  # empty: the stream and its group are gone too
    with pytest.raises(StageError):
        feed.step()
    RedisStream(own_server.url).append([event(3, event_id="b")])
    assert sum(feed.step().applied for _ in range(3)) == 1
    assert [one["event_id"] for one in applied] == ["a", "b"]


def test_a_broker_that_is_not_there_is_said():
    pytest.importorskip("confluent_kafka")
    nowhere = KafkaTopic("127.0.0.1:9", timeout=0.2, options={"log_level": 0})
    with pytest.raises(StageError, match=r"found no answer from topic 'events' of 127\.0\.0\.1:9"):
        nowhere.append([event(1)])
    with pytest.raises(StageError):
        nowhere.poll(1, 0.0)


def test_secrets_are_not_shown(monkeypatch):
    log = RedisStream("redis://:hunter2@127.0.0.1:9/0")
    with pytest.raises(StageError) as error:
        log.poll(1, 0.0)
    assert "hunter2" not in repr(log) + str(error.value)
    assert "hunter2" not in repr(KafkaTopic("a:1", options={"sasl.password": "hunter2"}))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RedisStream("redis://x", stream=""),
        lambda: RedisStream("redis://x", group=""),
        lambda: RedisStream("redis://x", claim_after=0.0),
        lambda: RedisStream("redis://x", start=-1.0),
        lambda: RedisStream("redis://x", max_length=0),
        lambda: KafkaTopic(""),
        lambda: KafkaTopic("x", topic=""),
        lambda: KafkaTopic("x", timeout=0.0),
        lambda: KafkaTopic("x", start=-1.0),
    ],
    ids=range(9),
)
def test_impossible_options_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def test_an_event_changes_the_next_list_within_a_second(server):
    data = rk.testing.toy_dataset()
    live = LiveEvents()
    sources = candidates.Merge([candidates.ItemKNN(), candidates.Popular()])
    stages = [candidates.UserHistory(live_events=live), sources, rk.rules.NotOwned()]
    pipeline = rk.Pipeline(stages).fit(data)
    now = data.until + 1000.0
    first = pipeline.recommend(["user-20"], now=now).ids(0)
    with Feed(RedisStream(server.url), live_events=live):
        time.sleep(0.1)
        bought = {"user_id": "user-20", "item_id": first[0], "timestamp": now - 1, "event": "purchase"}
        start = time.monotonic()
        RedisStream(server.url).append([bought])
        while first[0] in pipeline.recommend(["user-20"], now=now).ids(0):
            assert time.monotonic() - start < 1.0
            time.sleep(0.005)


_READER = """
import sys
from recokit.serving import Feed, RedisStream
from recokit.stores import RedisSessions

url, claim = sys.argv[1], float(sys.argv[2])
sessions = RedisSessions(url, max_events=1_000_000, ttl="100000D", write_timeout=20.0)
feed = Feed(RedisStream(url, group="g", claim_after=claim), sessions=sessions, batch=50)
print("reads", flush=True)
while True:
    feed.step(timeout=0.2)
"""


@pytest.mark.parametrize("n", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_killed_readers_lose_nothing_and_double_nothing(server, n):
    rng = np.random.default_rng(n)
    log = RedisStream(server.url)
    # A producer that does not know whether an event was taken writes it again: so does this one, with every tenth.
    for start in range(0, n, 500):
        batch = [event(i, event_id=f"e{i}") for i in range(start, start + 500)]
        log.append(batch)
        log.append(batch[::10])

    def reader():
        command = [sys.executable, "-c", _READER, server.url, "1.0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout.readline() == "reads\n"
        return process

    killed = 0
    for _ in range(5):
        process = reader()
        time.sleep(float(rng.uniform(0.0, 0.1)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        killed += 1
    process = reader()
    sessions = RedisSessions(server.url, max_events=1_000_000, ttl="100000D", timeout=20.0)
    users, deadline = [f"u{i}" for i in range(7)], time.monotonic() + 120
    while time.monotonic() < deadline:
        found = sessions.recent(users, now=2e9)
        pending = server.ask("XPENDING", "events", "g")
        if len(found.items) >= n and pending.startswith(b"*4\r\n:0"):
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    process.stdout.close()
    assert killed == 5
    assert sorted(map(int, found.items)) == list(range(n))  # 0 lost, 0 doubled
