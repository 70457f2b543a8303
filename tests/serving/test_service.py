"""Service: what its callers see, with stages that wait for the test's word."""

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Live
from recokit.errors import ConfigurationError, ContractError, DataError, NotReady, Overloaded
from recokit.serving import ListCache, Precomputed, Quality, Service, Shed
from recokit.serving.delivery import Nowhere
from recokit.testing import FixedSource
from recokit.trace import Status

Serve = Callable[..., Service]
USERS = [f"user-{n}" for n in range(1, 30)]


class Gate:
    """A scorer that, once shut, answers when it is opened; it notes the size of each batch."""

    def __init__(self) -> None:
        self.open, self.rows = threading.Event(), []  # type: ignore[var-annotated]
        self.open.set()

    def score(self, candidates: rk.Candidates) -> Any:
        self.rows.append(candidates.n_rows)
        self.open.wait(60)
        return -candidates.item.astype(np.float32)

    def __deepcopy__(self, memo: Any) -> "Gate":
        return self


def gated(data: rk.Dataset, *more: Any) -> tuple[rk.Pipeline, Gate]:
    gate = Gate()
    pipeline = rk.Pipeline([FixedSource([5, 4, 3, 2, 1]), *more, gate], clock=lambda: data.until).fit(data)
    return pipeline, pipeline["gate"]


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.002)


def in_threads(calls: list[Callable[[], Any]]) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(len(calls))
    pool.results = [pool.submit(call) for call in calls]  # type: ignore[attr-defined]
    return pool


# -- one request ---------------------------------------------------------------------------------------


def test_an_answer_is_that_of_the_pipeline(pipeline: rk.Pipeline, data: rk.Dataset, serve: Serve) -> None:
    service = serve(pipeline)
    options: dict[str, Any] = {"exclude": [101], "session": [104], "now": data.until}
    answer = service.recommend_now("user-7", k=6, **options)
    expected = pipeline.recommend(["user-7"], k=6, exclude=[[101]], session=[[104]], now=data.until)
    assert answer.ids() == expected.ids(0) and str(answer.to_records()) == str(expected.to_records()[0])
    assert (answer.user, answer.status, answer.source, answer.reasons) == ("user-7", Status.OK, "model", ())
    assert answer.fingerprint == service.fingerprint == pipeline.fingerprint
    assert np.array_equal(answer.scores(), expected.scores(0), equal_nan=True) and len(answer) == 6


def test_answers_in_an_event_loop_are_the_same(pipeline: rk.Pipeline, serve: Serve) -> None:
    service = serve(pipeline)

    async def ask() -> list[list[Any]]:
        return [
            answer.ids() for answer in await asyncio.gather(*(service.recommend(user, k=4) for user in USERS))
        ]

    assert asyncio.run(ask()) == [pipeline.recommend([user], k=4).ids(0) for user in USERS]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"items": "abc"}, "items='abc'"),
        ({"sesion": [1]}, "sesion"),
        ({"budget_ms": 0}, "budget_ms"),
        ({"budget_ms": float("inf")}, "budget_ms"),
        ({"exclude": [object()]}, "found ids of types object"),
    ],
    ids=["k", "text", "unknown option", "no time", "for ever", "no id"],
)
def test_a_bad_request_is_its_callers_error(
    pipeline: rk.Pipeline, serve: Serve, options: dict[str, Any], message: str
) -> None:
    service = serve(pipeline)
    with pytest.raises(DataError, match=message):
        service.recommend_now("user-1", **options)
    assert service.recommend_now("user-1").status is Status.OK


# -- coalescing ----------------------------------------------------------------------------------------


def test_what_came_during_a_batch_is_the_next_one(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline)
    gate.rows.clear()
    gate.open.clear()
    with in_threads([lambda user=user: service.recommend_now(user, k=2) for user in USERS]) as pool:  # type: ignore[misc]
        wait_until(lambda: service.health()["waiting"] + sum(gate.rows) == len(USERS))
        gate.open.set()
        answers = [future.result() for future in pool.results]  # type: ignore[attr-defined]
    assert gate.rows[0] + gate.rows[1] == len(USERS) and len(gate.rows) == 2
    assert [answer.user for answer in answers] == USERS
    assert all(answer.lists.codes(answer.row).tolist() == [1, 2] for answer in answers)


def test_a_batch_has_at_most_so_many_rows(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, coalesce=4)
    gate.rows.clear()
    service.recommend_many(USERS[:11], k=2)
    assert max(gate.rows) <= 4 and sum(gate.rows) == 11


def test_rows_of_one_batch_have_options_of_their_own(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline)
    ids = data.item_ids.decode([1, 2, 3, 4, 5]).tolist()
    gate.rows.clear()
    gate.open.clear()
    calls: list[dict[str, Any]] = [
        {"k": 1},
        {"k": 3},
        {"items": [ids[4], ids[3]]},
        {"exclude": [ids[0]]},
        {"k": 2},
    ]
    with in_threads(
        [lambda call=call: service.recommend_now("user-1", **{"k": 5, **call}) for call in calls]
    ) as pool:  # type: ignore[misc]
        wait_until(lambda: service.health()["waiting"] + sum(gate.rows) == len(calls))
        gate.open.set()
        found = [future.result().ids() for future in pool.results]  # type: ignore[attr-defined]
    assert found == [ids[:1], ids[:3], [ids[3], ids[4]], ids[1:], ids[:2]]


class Poisoned(Gate):
    """A scorer whose batch breaks a contract where one user is in it."""

    def score(self, candidates: rk.Candidates) -> Any:
        score = super().score(candidates)
        poisoned = "user-3" in candidates.requests.user_ids.tolist()  # type: ignore[union-attr]
        return score[:-1] if poisoned else score


def test_a_poisoned_row_fails_alone(data: rk.Dataset, serve: Serve) -> None:
    pipeline = rk.Pipeline([FixedSource([3, 2, 1]), Poisoned()], clock=lambda: data.until).fit(data)
    with pytest.raises(ContractError):
        pipeline.recommend(["user-3"])
    service = serve(pipeline, fallback=Precomputed(data.item_ids.decode([7, 8]).tolist()), coalesce=2)
    answers = service.recommend_many(USERS[:9], k=2)
    assert [answer.source for answer in answers] == [
        "precomputed" if answer.user == "user-3" else "model" for answer in answers
    ]
    assert (
        answers[2].lists.codes(answers[2].row).tolist() == [7, 8]
        and "the model failed" in answers[2].reasons[0]
    )


# -- time ----------------------------------------------------------------------------------------------


def test_who_is_not_answered_in_time_gets_the_list_made_ahead(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, fallback=Precomputed(data.item_ids.decode([9, 8, 7]).tolist()))
    gate.open.clear()
    began = time.monotonic()
    answer = service.recommend_now("user-1", k=2, budget_ms=300)
    took = time.monotonic() - began
    assert answer.lists.codes(answer.row).tolist() == [9, 8]
    assert (answer.source, answer.status) == ("precomputed", Status.FALLBACK)
    assert "did not answer in time" in answer.reasons[0]
    assert 0.2 < took < 5.0
    gate.open.set()


def test_time_in_the_queue_counts(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline)
    gate.rows.clear()
    gate.open.clear()
    with in_threads(
        [lambda: service.recommend_now("user-1"), lambda: service.recommend_now("user-2", budget_ms=200)]
    ) as pool:
        late = pool.results[1].result()  # type: ignore[attr-defined]
        assert late.source == "precomputed"
        gate.open.set()
        assert pool.results[0].result().source == "model"  # type: ignore[attr-defined]


def test_a_hung_batch_holds_up_nobody_else(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline)
    gate.open.clear()
    assert service.recommend_now("user-1", budget_ms=100).source == "precomputed"
    hung, gate.open = gate.open, threading.Event()
    gate.open.set()
    # Another thread goes on as soon as somebody's time is over.
    wait_until(lambda: service.recommend_now("user-2", budget_ms=150).source == "model")
    assert service.health()["hanging"] == 1 and service.ready
    hung.set()
    wait_until(lambda: service.health()["hanging"] == 0)


def test_a_process_with_hung_calls_ends(tmp_path: Any) -> None:
    program = """
        import threading, time, numpy as np, recokit as rk
        from recokit.serving import Precomputed, Service
        from recokit.testing import FixedSource, toy_dataset
        shut = []
        class Hangs:
            def score(self, candidates):
                if shut: threading.Event().wait()
                return np.ones(len(candidates), np.float32)
        data = toy_dataset()
        pipeline = rk.Pipeline([FixedSource([1, 2]), Hangs()], clock=lambda: data.until).fit(data)
        service = Service(pipeline, fallback=Precomputed([101]), budget_ms=200).start()
        shut.append(1)
        print(service.recommend_now("user-1").source, time.time(), flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    source, at = done.stdout.split()
    assert source == "precomputed"
    assert time.time() - float(at) < 5.0


# -- rules on every way out ----------------------------------------------------------------------------


def stocked(data: rk.Dataset, stock: Any) -> tuple[rk.Pipeline, Gate]:
    return gated(data, rules.InStock(stock))


def test_rules_hold_for_the_list_made_ahead(data: rk.Dataset, serve: Serve) -> None:
    stock = np.ones(data.n_items + 1)
    stock[9] = 0
    pipeline, gate = stocked(data, stock)
    excluded, ahead = data.item_ids.decode([8]).tolist(), data.item_ids.decode([9, 8, 7, 6]).tolist()
    service = serve(pipeline, fallback=Precomputed(ahead))
    gate.open.clear()
    answer = service.recommend_now("user-1", k=3, exclude=excluded, budget_ms=200)
    assert answer.lists.codes(answer.row).tolist() == [7, 6]
    gate.open.set()


def test_where_rules_cannot_be_checked_nothing_is_shown(data: rk.Dataset, serve: Serve) -> None:
    known = [True]

    def stock(items: Any) -> Any:
        if not known:
            raise ConnectionError("gone")
        return np.ones(len(items))

    pipeline, gate = stocked(data, stock)
    service = serve(pipeline, lists=ListCache())
    assert len(service.recommend_now("user-1", k=3)) == 3
    known.clear()
    for user in ("user-1", "user-2"):  # from a list made earlier, and by the model
        answer = service.recommend_now(user, k=3)
        assert (len(answer), answer.status) == (0, Status.FAILED), answer
    gate.open.clear()
    late = service.recommend_now("user-3", k=3, budget_ms=200)
    assert (len(late), late.status) == (0, Status.FAILED)
    gate.open.set()


def test_a_rule_that_hangs_shows_nothing_and_takes_no_longer(data: rk.Dataset, serve: Serve) -> None:
    hang = threading.Event()
    hang.set()

    class Stock(rules.InStock):
        io_bound = True

    def stock(items: Any) -> Any:
        hang.wait(60)
        return np.ones(len(items))

    pipeline, _ = gated(data, Stock(stock))
    service = serve(pipeline, lists=ListCache())
    assert service.recommend_now("user-1", k=3).source == "model"
    assert service.recommend_now("user-1", k=3).source == "cached"
    hang.clear()
    for user in ("user-1", "user-2"):
        began = time.monotonic()
        answer = service.recommend_now(user, k=3, budget_ms=300)
        assert (len(answer), answer.status) == (0, Status.FAILED)
        assert time.monotonic() - began < 5.0
    hang.set()


def test_limits_hold_for_the_list_made_ahead(data: rk.Dataset, serve: Serve) -> None:
    gate = Gate()
    stages = [FixedSource([5, 4, 3, 2, 1]), gate, rules.MaxPerGroup("seller", 1)]
    pipeline = rk.Pipeline(stages, clock=lambda: data.until).fit(data)
    sellers = pipeline["max_per_group"].limit(rk.Candidates.from_lists([list(range(1, data.n_items + 1))]))[0]
    service = serve(pipeline)
    pipeline["gate"].open.clear()
    answer = service.recommend_now("user-1", k=3, budget_ms=300)
    codes = answer.lists.codes(answer.row)
    assert answer.source == "precomputed" and len(codes) == 3
    assert len(set(sellers.take(codes - 1).group.tolist())) == 3
    pipeline["gate"].open.set()


# -- lists made earlier --------------------------------------------------------------------------------


def test_a_list_made_earlier_is_shown_again_and_is_the_same(pipeline: rk.Pipeline, serve: Serve) -> None:
    service = serve(pipeline, lists=ListCache())
    first, again = (service.recommend_now("user-7", k=4) for _ in range(2))
    assert (first.source, again.source) == ("model", "cached")
    assert first.ids() == again.ids() and again.status is Status.OK
    assert str(again.to_records()) == str(first.to_records())


def test_what_has_sold_out_is_gone_at_the_next_request(data: rk.Dataset, serve: Serve) -> None:
    stock = Live(np.ones(data.n_items + 1), name="stock")
    pipeline, _ = stocked(data, stock)
    service = serve(
        pipeline, lists=ListCache(), fallback=Precomputed(data.item_ids.decode([20, 1, 21]).tolist())
    )
    first = service.recommend_now("user-7", k=3)
    assert first.lists.codes(first.row).tolist() == [1, 2, 3]
    sold = np.ones(data.n_items + 1)
    sold[[1, 20]] = 0
    stock.set(sold)
    again = service.recommend_now("user-7", k=3)
    assert (again.source, again.lists.codes(again.row).tolist()) == ("cached", [2, 3, 21])


def test_a_stale_list_is_shown_while_it_is_made_again_once(data: rk.Dataset, serve: Serve) -> None:
    now = [0.0]
    pipeline, gate = gated(data)
    service = serve(
        pipeline, lists=ListCache(fresh="10s", stale="100s"), clock=lambda: now[0] + time.monotonic()
    )
    service.recommend_now("user-7", k=3)
    gate.rows.clear()
    gate.open.clear()
    now[0] = 50.0
    assert [service.recommend_now("user-7", k=3).source for _ in range(5)] == ["stale"] * 5
    gate.open.set()
    wait_until(lambda: service.recommend_now("user-7", k=3).source == "cached")
    assert gate.rows == [1]


def test_one_run_answers_all_who_ask_for_the_same(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, lists=ListCache())
    gate.rows.clear()
    gate.open.clear()
    with in_threads([lambda: service.recommend_now("user-7", k=3)] * 8) as pool:
        wait_until(lambda: gate.rows == [1] and len(next(iter(service._flying.values())).followers) == 7)
        gate.open.set()
        assert len({tuple(future.result().ids()) for future in pool.results}) == 1  # type: ignore[attr-defined]
    assert gate.rows == [1] and not service._flying


def test_a_user_who_did_something_gets_a_new_list(data: rk.Dataset, serve: Serve) -> None:
    pipeline, _ = gated(data)
    service = serve(pipeline, lists=ListCache())
    service.recommend_now("user-7", k=3)
    service.changed("user-7")
    assert service.recommend_now("user-7", k=3).source == "model"


def test_what_happened_during_a_run_is_not_in_its_list(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, lists=ListCache())
    gate.open.clear()
    gate.rows.clear()
    with in_threads([lambda: service.recommend_now("user-7", k=3)]) as pool:
        wait_until(lambda: gate.rows == [1])
        service.changed("user-7")
        gate.open.set()
        pool.results[0].result()  # type: ignore[attr-defined]
    assert service.recommend_now("user-7", k=3).source == "model"


# -- overload ------------------------------------------------------------------------------------------


def test_too_many_are_turned_away_and_told_when_to_come_back(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, shed=Shed(max_waiting=3, spare=0.0), lists=ListCache())

    def at_work() -> bool:
        wait_until(lambda: gate.rows)
        return True

    service.recommend_now("user-29", k=3)
    gate.rows.clear()
    gate.open.clear()
    with (
        in_threads([lambda: service.recommend_now("user-1", k=3)]) as first,
        in_threads(
            [lambda user=user: at_work() and service.recommend_now(user, k=3) for user in USERS[1:4]]
        ) as pool,  # type: ignore[misc]
    ):
        wait_until(lambda: service.health()["waiting"] == 3)
        with pytest.raises(Overloaded, match="3 rows that wait") as refused:
            service.recommend_now("user-20", k=3)
        assert refused.value.retry_after > 0
        assert service.recommend_now("user-29", k=3).source == "cached"
        gate.open.set()
        assert all(len(future.result()) == 3 for future in [*first.results, *pool.results])  # type: ignore[attr-defined]
    assert service.monitor.total().counts["recokit_service_shed",] == 1


def test_those_turned_away_get_the_list_made_ahead_while_that_costs_little(
    data: rk.Dataset, serve: Serve
) -> None:
    pipeline, gate = gated(data)
    ahead = data.item_ids.decode([9, 8]).tolist()
    shed = Shed(max_waiting=1, spare=1e-9)
    service = serve(pipeline, shed=shed, fallback=Precomputed(ahead), coalesce=2, budget_ms=60_000.0)
    gate.rows.clear()
    gate.open.clear()
    with in_threads([lambda: service.recommend_now("user-1")]):
        wait_until(lambda: gate.rows)
        service._engine.put(service._ask("user-3", 2, {}, place=Nowhere()))
        assert service.refusal() is None  # it is let in, for the list made ahead
        with in_threads([lambda: service.recommend_now("user-4", k=2)]) as aside:
            wait_until(lambda: service._admission.aside)
            with pytest.raises(Overloaded):
                service.recommend_now("user-5", k=2)  # beside so small a batch there is room for one
            assert service.refusal() > 0  # type: ignore[operator]
            gate.open.set()
            first = aside.results[0].result()  # type: ignore[attr-defined]
    assert (first.source, first.ids()) == ("precomputed", ahead) and "too many wait" in first.reasons[0]
    assert not service._admission.aside and not shed.spares(service.clock())  # it cost more than there was
    assert service.monitor.total().counts["recokit_service_shed",] == 3


def test_stages_that_wait_do_so_at_the_same_time(data: rk.Dataset, serve: Serve) -> None:
    at_work, barrier = [], threading.Barrier(4, timeout=30)

    class Waits(FixedSource):
        io_bound = True

        def retrieve(self, requests: rk.Requests, limit: int) -> Any:
            at_work.append(len(requests))
            if met:
                barrier.wait()
            return super().retrieve(requests, limit)

        def __deepcopy__(self, memo: Any) -> "Waits":
            return self

    met: list[bool] = []
    pipeline = rk.Pipeline([Waits([3, 2, 1])], clock=lambda: data.until).fit(data)
    service = serve(pipeline, coalesce=1)
    met.append(True)
    with in_threads([lambda user=user: service.recommend_now(user, k=2) for user in USERS[:4]]) as pool:  # type: ignore[misc]
        assert [future.result().status for future in pool.results] == [Status.OK] * 4  # type: ignore[attr-defined]


def test_a_model_that_never_works_is_not_tried_row_by_row_for_long(data: rk.Dataset, serve: Serve) -> None:
    tried: list[int] = []

    class Broken(Gate):
        def score(self, candidates: rk.Candidates) -> Any:
            score = super().score(candidates)
            tried.append(candidates.n_rows)
            return score[:-1] if broken else score

    broken: list[bool] = []
    pipeline = rk.Pipeline([FixedSource([3, 2, 1]), Broken()], clock=lambda: data.until).fit(data)
    service = serve(pipeline, coalesce=29)
    tried.clear()
    broken.append(True)
    answers = service.recommend_many(USERS, k=2)
    assert {answer.source for answer in answers} == {"precomputed"}
    assert tried.count(1) <= 3 * 3  # three of at most three batches: the first row may have gone ahead


def test_slow_answers_lower_the_effort_of_the_next(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, quality=Quality(target=0.05))
    gate.open.clear()
    with in_threads([lambda: service.recommend_now("user-1", budget_ms=2_000)]) as pool:
        time.sleep(0.3)
        gate.open.set()
        pool.results[0].result()  # type: ignore[attr-defined]
    wait_until(lambda: service.health()["effort"] < 1.0)


# -- life ----------------------------------------------------------------------------------------------


def test_a_start_without_a_list_made_ahead_is_refused(pipeline: rk.Pipeline) -> None:
    with pytest.raises(ConfigurationError, match="found no fallback"):
        Service(pipeline).start()


def test_a_list_made_ahead_that_rules_forbid_is_refused(data: rk.Dataset) -> None:
    pipeline, _ = stocked(data, np.r_[np.ones(6), np.zeros(data.n_items - 5)])
    with pytest.raises(ConfigurationError, match="found nothing of Precomputed"):
        Service(pipeline, fallback=Precomputed(data.item_ids.decode([9]).tolist())).start()


def test_nothing_is_answered_before_the_start_and_after_the_end(
    pipeline: rk.Pipeline, data: rk.Dataset
) -> None:
    service = Service(pipeline, fallback=Precomputed(data.item_ids.ids.tolist()), budget_ms=30_000)
    with pytest.raises(NotReady, match="is new"):
        service.recommend_now("user-1")
    assert not service.ready
    assert service.start().ready and service.start() is service
    assert service.drain(5.0)
    with pytest.raises(NotReady, match="is stopped") as refused:
        service.recommend_now("user-1")
    assert refused.value.retry_after > 0 and not service.ready


def test_draining_answers_those_who_wait(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline)
    gate.rows.clear()
    gate.open.clear()
    with in_threads([lambda user=user: service.recommend_now(user) for user in USERS[:5]]) as pool:  # type: ignore[misc]
        wait_until(lambda: service.health()["waiting"] + sum(gate.rows) == 5)
        drained = threading.Thread(target=service.drain)
        drained.start()
        wait_until(lambda: service.health()["state"] == "draining")
        with pytest.raises(NotReady, match="draining"):
            service.recommend_now("user-9")
        gate.open.set()
        assert all(future.result().source == "model" for future in pool.results)  # type: ignore[attr-defined]
        drained.join(10)


def test_another_model_serves_from_the_next_request_on(data: rk.Dataset, serve: Serve) -> None:
    old, gate = gated(data)
    new = rk.Pipeline([FixedSource([9, 8])], clock=lambda: data.until).fit(data)
    service = serve(old, lists=ListCache())
    service.recommend_now("user-1", k=1)
    gate.rows.clear()
    gate.open.clear()
    with in_threads([lambda: service.recommend_now("user-2", k=1)]) as pool:
        wait_until(lambda: gate.rows == [1])
        service.swap(new, "2")
        gate.open.set()
        under_way = pool.results[0].result()  # type: ignore[attr-defined]
    assert under_way.fingerprint == old.fingerprint
    answer = service.recommend_now("user-1", k=1)
    assert (answer.source, answer.fingerprint) == ("model", new.fingerprint)
    assert service.health()["version"] == "2"


def test_a_model_that_cannot_serve_does_not(data: rk.Dataset, serve: Serve) -> None:
    old, _ = gated(data)
    service = serve(old)
    empty = rk.Pipeline([candidates.Popular(), rules.InStock({})], clock=lambda: data.until).fit(data)
    with pytest.raises(ConfigurationError):
        service.swap(empty)
    assert service.recommend_now("user-1").fingerprint == old.fingerprint


class Folder:
    """Versions of a model, of which the last one serves."""

    def __init__(self, *pipelines: rk.Pipeline) -> None:
        self.pipelines = list(pipelines)

    @property
    def current(self) -> Any:
        return type("Version", (), {"name": str(len(self.pipelines))})() if self.pipelines else None

    def load(self, version: str | None = None, **options: Any) -> rk.Pipeline:
        return self.pipelines[int(version or 0) - 1]


def test_a_new_version_is_found_and_swapped_in(data: rk.Dataset, serve: Serve) -> None:
    old, _ = gated(data)
    new = rk.Pipeline([FixedSource([9, 8])], clock=lambda: data.until).fit(data)
    folder = Folder(old)
    service = serve(folder, poll=0.01)  # type: ignore[arg-type]
    assert service.health()["version"] == "1"
    folder.pipelines.append(new)
    wait_until(lambda: service.fingerprint == new.fingerprint)
    assert service.recommend_now("user-1").fingerprint == new.fingerprint
    folder.pipelines.append(rk.Pipeline([candidates.Popular(), rules.InStock({})]).fit(data))
    wait_until(lambda: service.monitor.total().counts.get(("recokit_service_swap_failures",)))
    assert service.fingerprint == new.fingerprint and service.ready


def test_a_folder_without_a_version_is_refused(data: rk.Dataset) -> None:
    with pytest.raises(ConfigurationError, match="found no version"):
        Service(Folder(), fallback=Precomputed([101])).start()  # type: ignore[arg-type]


def test_a_cancelled_request_leaves_nothing_behind(data: rk.Dataset, serve: Serve) -> None:
    pipeline, gate = gated(data)
    service = serve(pipeline, lists=ListCache())
    gate.rows.clear()
    gate.open.clear()

    async def leave() -> None:
        first, second = (asyncio.create_task(service.recommend(user)) for user in ("user-1", "user-2"))
        while service.health()["waiting"] + sum(gate.rows) < 2:
            await asyncio.sleep(0.002)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.open.set()
        await first

    asyncio.run(leave())
    assert sum(gate.rows) <= 2 and service.health()["waiting"] == 0
    wait_until(lambda: not service._flying)


def test_a_drill_tells_what_is_answered_without_each_stage(data: rk.Dataset, serve: Serve) -> None:
    seen: list[Any] = []
    observer = type("Seen", (), {"observe": lambda self, trace: seen.append(trace)})()
    pipeline, _ = stocked(data, np.ones(data.n_items + 1))
    service = serve(pipeline, observers=[observer])
    report = service.drill()
    assert report.holds and not seen
    assert {one.stage: one.status for one in report.drilled} == {
        "fixed_source": "EMPTY",
        "in_stock": "FAILED",
        "gate": "DEGRADED",
        "the model": "FALLBACK",
    }
    assert [one.stage for one in service.drill("gate").drilled] == ["gate"]
    with pytest.raises(ConfigurationError, match="did you mean 'gate'"):
        service.drill("gata")


def test_what_it_did_is_counted(data: rk.Dataset, serve: Serve) -> None:
    pipeline, _ = gated(data)
    service = serve(pipeline, lists=ListCache())
    for _ in range(3):
        service.recommend_now("user-1")
    counts = service.monitor.total().counts
    assert counts["recokit_service_answers", "model"] == 1
    assert counts["recokit_service_answers", "cached"] == 2
    assert counts["recokit_service_batches",] == counts["recokit_service_rows",] == 1
    assert service.monitor.gauges(0.0)["recokit_service_ready",] == 1.0
