"""Completing lists made elsewhere: their order, every rule, and fill-up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import recokit as rk
from recokit.data import Dataset, Ragged
from recokit.datasets.marketplace import Marketplace
from recokit.errors import DataError, VocabularyMismatch
from recokit.protocols import Completer
from recokit.trace import Status


@pytest.fixture(scope="module")
def plain(toy: Dataset) -> rk.Pipeline:
    return rk.Pipeline([rk.candidates.Popular(half_life=None)]).fit(toy)


def codes(answer: rk.Recommendations) -> list[list[int]]:
    return [answer.codes(row).tolist() for row in range(len(answer))]


@pytest.mark.parametrize(
    ("ordered", "length"),
    [([9, 4, 17], 3), ([9, 4, 17, 30, 2, 5], 3), ([9, 4, 17, 30, 2, 5], 6)],
)
def test_lists_of_k_or_more_come_in_their_order(plain: rk.Pipeline, ordered: list[int], length: int) -> None:
    requests = plain.requests([None], k=length, now=plain.fitted_until)
    answer = plain.complete(requests, Ragged.from_lists([ordered]))
    assert codes(answer) == [ordered[:length]]
    assert answer.status.tolist() == [Status.OK]


def test_short_lists_are_filled_up_by_the_pipeline_s_own_ranking(plain: rk.Pipeline) -> None:
    requests = plain.requests([None, None], k=5, now=plain.fitted_until)
    own = plain.run(requests).codes(0).tolist()
    answer = plain.complete(requests, Ragged.from_lists([[own[3], own[0]], []]))
    assert codes(answer) == [[own[3], own[0], own[1], own[2], own[4]], own]


def test_every_rule_holds_for_a_completed_list(full_gb: rk.Pipeline, market: Marketplace) -> None:
    users = market.dataset.user_ids.ids[:12].tolist()
    requests = full_gb.requests(users, k=10, now=full_gb.fitted_until)
    rng = np.random.default_rng(4)
    lists = [rng.permutation(market.dataset.n_items)[: 5 + 5 * (row % 4)] + 1 for row in range(len(users))]
    answer = full_gb.complete(requests, Ragged.from_lists(lists), capture="full")
    table = market.dataset.items
    category, seller = table.column("category"), table.column("seller")
    stock = market.stock_at(full_gb.fitted_until)
    kept_any = 0
    for row, wanted in enumerate(lists):
        got = answer.codes(row)
        assert len(got) == 10
        assert (stock[got] > 0).all()
        assert max(Counter(seller[got].tolist()).values()) <= 3
        assert max(Counter(category[got].tolist()).values()) <= 4
        place = {int(item): i for i, item in enumerate(wanted)}
        known = [place[item] for item in got.tolist() if item in place]
        assert known == sorted(known), "the given order is kept"
        assert got.tolist()[: len(known)] == [int(wanted[i]) for i in known], "the given items come first"
        kept_any += len(known)
    assert kept_any > 40
    again = full_gb.complete(requests.take(np.array([7])), Ragged.from_lists([lists[7]]))
    assert codes(again) == [answer.codes(7).tolist()], "a row does not depend on the others"


def test_labels_are_put_on_completed_lists(full_gb: rk.Pipeline, market: Marketplace) -> None:
    sponsored = np.flatnonzero(market.dataset.items.column("sponsored") == 1)
    requests = full_gb.requests([None], k=5, now=full_gb.fitted_until)
    answer = full_gb.complete(requests, Ragged.from_lists([sponsored[:40]]))
    shown = np.isin(answer.codes(0), sponsored)
    assert shown.any()
    labels = [record["labels"] for record in answer.to_records()[0]]
    assert [("sponsored" in row) for row in labels] == shown.tolist()


def test_excluded_items_and_those_outside_the_given_ones_are_left_out(plain: rk.Pipeline) -> None:
    ids = plain.schema.item_ids.ids
    excluded = plain.requests([None], k=3, now=2e9, exclude=[[ids[3]]])  # code 4
    assert codes(plain.complete(excluded, Ragged.from_lists([[9, 4, 17, 2]]))) == [[9, 17, 2]]
    only = plain.requests([None], k=3, now=2e9, items=[[ids[1], ids[8], ids[16]]])  # codes 2, 9, 17
    assert codes(plain.complete(only, Ragged.from_lists([[17, 4, 9]]))) == [[17, 9, 2]]


def test_a_fallback_fills_what_is_still_short(toy: Dataset) -> None:
    few = rk.candidates.FromFunction(lambda requests, limit: [[1]] * len(requests), name="few", codes=True)
    pipeline = rk.Pipeline([few], fallback=rk.candidates.Popular(half_life=None)).fit(toy)
    requests = pipeline.requests([None], k=4, now=pipeline.fitted_until)
    answer = pipeline.complete(requests, Ragged.from_lists([[7]]))
    assert answer.codes(0)[:2].tolist() == [7, 1]
    assert len(answer.codes(0)) == 4
    assert answer.status.tolist() == [Status.FALLBACK]


@pytest.mark.parametrize("bad", [0, 41, -1])
def test_codes_of_no_item_are_refused(plain: rk.Pipeline, bad: int) -> None:
    requests = plain.requests([None], k=3, now=2e9)
    with pytest.raises(VocabularyMismatch, match=f"found code {bad} in 'ordered'; expected 1 to 40"):
        plain.complete(requests, Ragged.from_lists([[3, bad]]))


def test_repeated_items_and_another_number_of_lists_are_refused(plain: rk.Pipeline) -> None:
    requests = plain.requests([None, None], k=3, now=2e9)
    with pytest.raises(DataError, match="item code 3 twice in row 1"):
        plain.complete(requests, Ragged.from_lists([[3, 2], [1, 3, 3]]))
    with pytest.raises(DataError, match="found 1 lists in ordered; expected 2"):
        plain.complete(requests, Ragged.from_lists([[3]]))


def test_a_pipeline_is_a_completer(plain: rk.Pipeline) -> None:
    completer: Completer = plain
    assert completer is plain
