"""Recheck: lists made earlier, held against the rules as they are now."""

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Live
from recokit.testing import FixedSource, failing, toy_dataset
from recokit.trace import Status

DATA = toy_dataset()
T = DATA.until
ALL = np.arange(1, DATA.n_items + 1)


def of(*stages: Any, **options: Any) -> rk.Pipeline:
    return rk.Pipeline(list(stages), clock=lambda: T, **options).fit(DATA)


def stocked(*sold_out: int) -> np.ndarray:
    units = np.ones(DATA.n_items + 1)
    units[list(sold_out)] = 0
    return units


def listed(pipeline: rk.Pipeline, requests: rk.Requests) -> rk.Candidates:
    return pipeline.run(requests).trace.selected


def test_a_list_that_rules_let_pass_stays_as_it_is() -> None:
    pipeline = of(
        candidates.Popular(), rules.NotOwned(), rules.MaxPerGroup("seller", 2), rules.Disclose("sponsored")
    )
    requests = pipeline.requests(["user-3", None, "user-9"], k=6)
    first = pipeline.run(requests)
    again = pipeline.recheck(requests, first.trace.selected, filler=ALL)
    assert [again.ids(row) for row in range(3)] == [first.ids(row) for row in range(3)]
    assert str(again.to_records()) == str(first.to_records())
    assert again.status.tolist() == first.status.tolist() and again.fingerprint == pipeline.fingerprint


def test_a_short_list_is_not_filled_up_where_nothing_is_gone() -> None:
    pipeline = of(FixedSource([4, 7]))
    requests = pipeline.requests([None], k=5)
    assert pipeline.recheck(requests, listed(pipeline, requests), filler=ALL).codes(0).tolist() == [4, 7]


def test_what_is_gone_is_made_up_for_by_the_filler() -> None:
    stock = Live(stocked(), name="stock")
    pipeline = of(FixedSource([4, 7, 2]), rules.InStock(stock))
    requests = pipeline.requests([None, None], k=3)
    lists = listed(pipeline, requests)
    stock.set(stocked(7, 9))
    again = pipeline.recheck(requests, lists, filler=[9, 4, 8])
    assert [again.codes(row).tolist() for row in range(2)] == [[4, 2, 8]] * 2
    assert again.status.tolist() == [Status.FALLBACK] * 2
    assert "precomputed: filled up" in again.reasons[0]


def test_the_requests_own_exclusions_hold() -> None:
    pipeline = of(FixedSource([1, 2, 3]))
    ids = DATA.item_ids.decode([2, 5]).tolist()
    lists = listed(pipeline, pipeline.requests([None], k=3))
    requests = pipeline.requests([None], k=3, exclude=[ids])
    assert pipeline.recheck(requests, lists, filler=[5, 6]).codes(0).tolist() == [1, 3, 6]


def test_rows_that_rank_given_items_get_no_others() -> None:
    pipeline = of(FixedSource([1, 2, 3]))
    requests = pipeline.requests([None, None], k=3, items=[DATA.item_ids.decode([2]).tolist(), None])
    again = pipeline.recheck(requests, filler=[5, 6, 7])
    assert [again.codes(row).tolist() for row in range(2)] == [[], [5, 6, 7]]


def test_limits_hold_for_what_is_left_and_what_fills_up() -> None:
    stock = Live(stocked(), name="stock")
    pipeline = of(candidates.Popular(), rules.InStock(stock), rules.MaxPerGroup("seller", 1))
    requests = pipeline.requests([None], k=4)
    first = pipeline.run(requests)
    stock.set(stocked(*first.codes(0)[:2].tolist()))
    again = pipeline.recheck(requests, first.trace.selected, filler=ALL)
    codes = again.codes(0)
    groups = (
        pipeline["max_per_group"].limit(rk.Candidates.from_lists([ALL.tolist()]))[0].take(codes - 1).group
    )
    assert len(codes) == 4 and len(set(groups.tolist())) == 4
    assert not set(first.codes(0)[:2].tolist()) & set(codes.tolist())


def test_no_source_or_ranker_is_asked() -> None:
    pipeline = of(FixedSource([1, 2]), rules.NotOwned())
    requests = pipeline.requests(["user-1"], k=2)
    broken = pipeline.replace("fixed_source", failing(FixedSource([1, 2])))
    again = broken.recheck(requests, filler=ALL)
    assert again.status[0] == Status.FALLBACK and len(again.codes(0)) == 2


def test_a_rule_that_cannot_be_checked_shows_nothing() -> None:
    pipeline = of(FixedSource([1, 2]), failing(rules.InStock(stocked())))
    again = pipeline.recheck(pipeline.requests([None], k=2), filler=ALL)
    assert (len(again.codes(0)), again.status[0]) == (0, Status.FAILED)


class ByBlock:
    """A filter on a feature."""

    requires = ("feature.block",)

    def keep(self, candidates: rk.Candidates) -> Any:
        return candidates.feature("block") > 3


class Block:
    """The item code as a feature."""

    names = ("block",)

    def featurize(self, candidates: rk.Candidates) -> Any:
        return candidates.item.astype(np.float32)[:, None]


def test_features_that_a_rule_reads_are_computed_again() -> None:
    pipeline = of(FixedSource([1, 5, 4]), Block(), ByBlock())
    requests = pipeline.requests([None], k=3)
    again = pipeline.recheck(requests, listed(pipeline, requests), filler=[2, 6])
    assert again.codes(0).tolist() == [5, 4, 6]


@pytest.mark.parametrize(("asked", "shown"), [(None, False), ("DE", True)], ids=["unknown", "known"])
def test_context_that_a_rule_reads_counts(asked: str | None, shown: bool) -> None:
    pipeline = of(FixedSource([1]), rules.Where("request.country == 'DE'"))
    requests = pipeline.requests([None], k=1, context={"country": [asked]})
    assert (len(pipeline.recheck(requests, filler=[3]).codes(0)) == 1) == shown


def test_it_waits_for_a_network_only_where_a_rule_does() -> None:
    waits = rules.InStock(stocked())
    waits.io_bound = True  # type: ignore[attr-defined]
    source = FixedSource([1])
    source.io_bound = True  # type: ignore[attr-defined]
    assert not of(source, rules.InStock(stocked())).recheck_waits
    assert of(FixedSource([1]), waits).recheck_waits
