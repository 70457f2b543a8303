"""FromFunction with functions that wait: outside and inside an event loop, and in a pipeline."""

from __future__ import annotations

import asyncio
import functools
import threading
import time

import numpy as np
import pytest

import recokit as rk
from recokit.candidates import FromFunction, Merge, Popular
from recokit.data import Requests, Retrieved
from recokit.errors import ContractError
from recokit.testing import toy_dataset
from recokit.trace import Status

REQUESTS = Requests.build(np.zeros(2, np.int64))


async def remote(requests: Requests, limit: int) -> list[list[int]]:
    answers = await asyncio.gather(*(one(row, limit) for row in range(len(requests))))
    return list(answers)


async def one(row: int, limit: int) -> list[int]:
    await asyncio.sleep(0.001)
    return [row + 1, 7][:limit]


def items(found: Retrieved) -> list[int]:
    return found.item.tolist()


def test_an_async_function_answers_outside_and_inside_an_event_loop() -> None:
    source = FromFunction(remote)
    assert items(source.retrieve(REQUESTS, 2)) == [1, 7, 2, 7]

    async def notebook() -> list[int]:
        return items(source.retrieve(REQUESTS, 1))

    assert asyncio.run(notebook()) == [1, 2]


def test_what_waits_is_io_bound_unless_somebody_says_otherwise() -> None:
    class Client:
        async def __call__(self, requests: Requests, limit: int) -> list[list[int]]:
            return [[3]] * len(requests)

    assert FromFunction(remote).io_bound and FromFunction(functools.partial(remote)).io_bound
    assert FromFunction(Client()).io_bound and items(FromFunction(Client()).retrieve(REQUESTS, 1)) == [3, 3]
    assert not FromFunction(lambda requests, limit: []).io_bound
    assert not FromFunction(remote, io_bound=False).io_bound


def test_its_errors_and_wrong_answers_are_those_of_any_function() -> None:
    async def down(requests: Requests, limit: int) -> None:
        raise OSError("down")

    async def nothing(requests: Requests, limit: int) -> None:
        return None

    with pytest.raises(OSError, match="down"):
        FromFunction(down).retrieve(REQUESTS, 1)
    with pytest.raises(ContractError, match="NoneType from the function 'nothing'"):
        FromFunction(nothing).retrieve(REQUESTS, 1)


def test_a_pipeline_waits_for_it_in_a_thread_and_not_too_long() -> None:
    threads: list[str] = []
    data = toy_dataset()

    async def slow(requests: Requests, limit: int) -> list[list[int]]:
        threads.append(threading.current_thread().name)
        await asyncio.sleep(0.5 if requests.user[0] else 0.0)
        return [[5]] * len(requests)

    pipeline = rk.Pipeline([Merge([FromFunction(slow, name="slow", codes=True), Popular()])]).fit(data)
    quick = pipeline.recommend([None], k=3, now=data.until)
    assert quick.codes(0)[0] == 5 and threads == ["recokit-merge.slow"]
    started = time.perf_counter()
    late = pipeline.recommend([data.user_ids.ids[0]], k=3, now=data.until, budget_ms=100)
    assert time.perf_counter() - started < 0.4
    assert late.status.tolist() == [Status.DEGRADED] and len(late.codes(0)) == 3
