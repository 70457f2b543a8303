"""Faults of hydrators: lists about the user that are another's, too few, too many, old or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from recokit._kernels.segments import rows_to_offsets
from recokit.data import Ragged, Requests
from recokit.data.requests import Hydrated
from recokit.testing.faults.stages import answering
from recokit.typing import AnyArray, BoolArray, IntArray

T = TypeVar("T")


def with_lists(hydrator: T, change: Callable[[Ragged, Requests], Ragged], name: str = "history") -> T:
    """Return a copy whose lists of one name are changed."""

    def changed_lists(answer: Hydrated, requests: Requests) -> Hydrated:
        lists = {**answer.ragged}
        if name in lists:
            lists[name] = change(lists[name], requests)
        return dataclasses.replace(answer, ragged=lists)

    return answering(hydrator, changed_lists)


def emptied(hydrator: T, name: str = "history") -> T:
    """Return a copy whose lists are empty."""
    return with_lists(
        hydrator, lambda lists, requests: _kept(lists, np.zeros(len(lists.values), np.bool_)), name
    )


def newest(hydrator: T, most: int, name: str = "history") -> T:
    """Return a copy that keeps so many of the newest events."""
    return with_lists(hydrator, lambda lists, requests: lists.last(most), name)


def oldest(hydrator: T, most: int, name: str = "history") -> T:
    """Return a copy that keeps so many of the oldest events, where the newest are meant."""
    return with_lists(hydrator, lambda lists, requests: _kept(lists, _place(lists) < most), name)


def late(hydrator: T, seconds: float, name: str = "history") -> T:
    """Return a copy that lacks the events of the last so many seconds."""

    def change(lists: Ragged, requests: Requests) -> Ragged:
        until = requests.now[lists.rows] - seconds
        return _kept(lists, lists.columns["timestamp"] < until)

    return with_lists(hydrator, change, name)


def repeated(hydrator: T, times: int, name: str = "history") -> T:
    """Return a copy in which each event stands so many times."""

    def change(lists: Ragged, requests: Requests) -> Ragged:
        index = np.repeat(np.arange(len(lists.values)), times)
        columns = {column: values[index] for column, values in lists.columns.items()}
        return Ragged(lists.offsets * times, lists.values[index], columns)

    return with_lists(hydrator, change, name)


def of_items(hydrator: T, other: IntArray, name: str = "history") -> T:
    """Return a copy whose items are others, by code: those of another vocabulary."""

    def change(lists: Ragged, requests: Requests) -> Ragged:
        return dataclasses.replace(lists, values=other[lists.values])

    return with_lists(hydrator, change, name)


def _place(lists: Ragged) -> AnyArray:
    return np.arange(len(lists.values)) - lists.offsets[lists.rows]


def _kept(lists: Ragged, kept: BoolArray) -> Ragged:
    columns = {name: values[kept] for name, values in lists.columns.items()}
    return Ragged(rows_to_offsets(lists.rows[kept], len(lists)), lists.values[kept], columns)
