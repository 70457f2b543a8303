"""Counters and timelines: which period a time belongs to, and what is kept."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._stats.quantile_sketch import QuantileSketch
from recokit.monitoring.counters import Counters, Timeline

DAY = 86_400
KEY = ("n",)


def timeline(*times: float, n_slots: int = 3, n_days: int = 2) -> Timeline:
    line = Timeline(10.0, n_slots, n_days)
    for time in times:
        line.at(time).add(KEY)
    return line


def count(counters: Counters) -> float:
    return counters.counts.get(KEY, 0.0)


def sketch(*values: float) -> QuantileSketch:
    made = QuantileSketch(relative_error=0.01)
    for value in values:
        made.add(value)
    return made


def test_counters_add_up_and_share_nothing() -> None:
    a, b = Counters(), Counters()
    for counters, n in ((a, 1), (b, 2)):
        counters.add(KEY, n)
        counters.add(KEY)
        counters.add_array(KEY, np.array([n, 0]))
        counters.add_array(KEY, np.array([0, n]))
        counters.mark(KEY, np.array([n]), 4)
        counters.sketches[KEY] = sketch(n)
    b.add(("other",))
    b.mark(("other",), np.array([0]), 2)
    total = Counters.sum_of([a, b])
    assert total.counts == {KEY: 5.0, ("other",): 1.0}
    assert total.arrays[KEY].tolist() == [3.0, 3.0] and total.arrays[KEY].dtype == np.float64
    assert total.marks[KEY].tolist() == [False, True, True, False]
    assert total.sketches[KEY].count == 2
    total.mark(("other",), np.array([1]), 2)
    total.add_array(KEY, np.array([9, 9]))
    total.sketches[KEY].add(5.0)
    assert a.counts == {KEY: 2.0} and a.arrays[KEY].tolist() == [1.0, 1.0]
    assert b.marks[("other",)].tolist() == [True, False] and b.sketches[KEY].count == 1


def test_recent_are_the_slots_that_reach_into_the_span() -> None:
    line = timeline(5, 6, 15, 25)
    assert [count(line.recent(25, s)) for s in (1, 5, 6, 15, 16, 30)] == [1, 1, 2, 2, 4, 4]
    assert count(line.recent(19.9, 5)) == 1  # as of then: what came later is not counted
    assert count(Timeline(10.0, 3, 2).recent(25, 100)) == 0


def test_only_the_newest_slots_are_kept_but_all_time_is_counted() -> None:
    line = timeline(5, 15, 25, 35)
    assert count(line.recent(35, 1_000)) == 3
    assert count(line.total()) == 4
    gap = timeline(5, 15, 1_000)
    assert count(gap.recent(1_000, 1e6)) == 1 and count(gap.total()) == 3


def test_days_are_kept_newest_last_and_a_late_run_counts_for_its_day() -> None:
    line = timeline(DAY - 1, DAY, 2 * DAY + 50, n_days=3)
    assert {day: count(c) for day, c in line.days().items()} == {0: 1, 1: 1, 2: 1}
    line.at(2 * DAY + 5).add(KEY)  # earlier today: to the open slot
    line.at(DAY + 5).add(KEY)  # yesterday
    assert {day: count(c) for day, c in line.days().items()} == {0: 1, 1: 2, 2: 2}
    assert count(line.recent(2 * DAY + 50, 1)) == 2
    line.at(3 * DAY).add(KEY)
    assert list(line.days()) == [0, 1, 2, 3]  # the kept ones and today
    line.at(4 * DAY).add(KEY)
    assert list(line.days()) == [1, 2, 3, 4] and count(line.total()) == 7
    assert Timeline(10.0, 3, 2).days() == {}


def test_a_past_time_never_moves_the_timeline_on() -> None:
    line = timeline(DAY + 25)
    line.past(DAY + 500).add(KEY)
    assert count(line.recent(DAY + 25, 1)) == 2
    line.past(5).add(KEY)
    assert {day: count(c) for day, c in line.days().items()} == {0: 1, 1: 2}
    line.past(DAY + 25).add(KEY)
    assert count(line.recent(DAY + 25, 1)) == 3
    first = Timeline(10.0, 3, 2)
    first.past(15).add(KEY)
    assert count(first.recent(15, 1)) == 1


def test_weeks_begin_on_monday() -> None:
    monday = 4  # 1970-01-05
    line = timeline(*(DAY * day for day in range(monday - 1, monday + 8)), n_days=35)
    assert {day: count(c) for day, c in line.weeks().items()} == {-3: 1, 4: 7, 11: 1}


@pytest.mark.parametrize("order", [1, -1])
def test_merged_timelines_are_one_that_saw_both(order: int) -> None:
    mine, theirs = (5.0, 15.0, DAY + 5.0), (16.0, DAY + 6.0, DAY + 16.0, DAY + 17.0)
    first, second = [timeline(*times, n_days=5) for times in (mine, theirs)][::order]
    first.merge(second)
    both = timeline(*sorted((*mine, *theirs)), n_days=5)
    for line in (first, both):
        assert count(line.total()) == 7
        assert {day: count(c) for day, c in line.days().items()} == {0: 3, 1: 4}
        assert [count(line.recent(DAY + 17, s)) for s in (1, 8, 40)] == [2, 4, 4]
    first.at(DAY + 18).add(KEY)
    assert count(first.recent(DAY + 18, 1)) == 3


def test_merging_counts_what_came_late_and_drops_old_days_and_slots() -> None:
    late = timeline(3 * DAY + 5, n_days=2)
    late.at(2 * DAY).add(KEY)
    line = timeline(DAY, 3 * DAY + 35, n_days=2)
    line.merge(late)
    assert {day: count(c) for day, c in line.days().items()} == {2: 1, 3: 2}
    assert count(line.total()) == 4
    assert count(line.recent(3 * DAY + 35, 100)) == 1  # a slot 30 s old is one too many
    empty = Timeline(10.0, 3, 2)
    line.merge(empty)
    assert count(line.total()) == 4
    empty.merge(timeline(7.0))
    assert count(empty.recent(7.0, 1)) == 1 and count(empty.total()) == 1


def test_a_saved_timeline_goes_on() -> None:
    line = timeline(5, 15, DAY + 5)
    line.at(7).add(KEY)
    state = line.state()
    again = Timeline(10.0, 3, 2)
    again.at(9 * DAY).add(KEY)
    again.load_state(state)
    for one in (line, again):
        assert count(one.total()) == 4
        assert {day: count(c) for day, c in one.days().items()} == {0: 3, 1: 1}
    again.at(DAY + 6).add(KEY)
    assert count(again.recent(DAY + 6, 1)) == 2


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 4 * 8640), min_size=1, max_size=12).map(
        lambda steps: [10.0 * step for step in steps]
    ),
    st.integers(1, 4),
    st.integers(0, 60),
)
def test_periods_are_those_of_a_list_of_all_times(times: list[float], n_slots: int, span: int) -> None:
    line = timeline(*sorted(times), n_slots=n_slots, n_days=3)
    now = max(times)
    slot = [int(time // 10) for time in times]
    kept = [index for index in slot if index > max(slot) - n_slots]
    assert count(line.total()) == len(times)
    expected = sum((now - span) // 10 <= index <= now // 10 for index in kept)
    assert count(line.recent(now, span)) == expected
    by_day = Counter(int(time // DAY) for time in times)
    newest = sorted(by_day)[-3:]
    days = {day: count(counters) for day, counters in line.days().items()}
    assert {day: n for day, n in days.items() if day in newest} == {day: by_day[day] for day in newest}
    assert list(days) == sorted(days) and len(days) <= 4
    weeks = {week: count(counters) for week, counters in line.weeks().items()}
    assert sum(weeks.values()) == sum(days.values())
    # The first day of 1970 was a Thursday.
    assert all((week + 3) % 7 == 0 for week in weeks)
