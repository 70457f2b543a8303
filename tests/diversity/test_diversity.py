"""Objectives: what they prefer, what they are bound to, what they refuse. Definitions are checked in tests/slates."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import Candidates
from recokit.diversity import MMR, TopK
from recokit.errors import ConfigurationError, ContractError, NotFittedError
from recokit.slates import select
from recokit.testing import toy_dataset


def chosen(batch: Candidates, objective: object, k: int = 3) -> list[int]:
    return batch.item[select(batch, np.array([k]), objective=objective).index].tolist()


def test_top_k_is_the_order_of_scores_with_broken_ones_last() -> None:
    batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.2, np.nan, 0.9, np.inf]])
    assert chosen(batch, TopK(), k=4) == [3, 1, 2, 4]


def test_mmr_compares_by_all_categorical_columns_unless_told_which() -> None:
    schema = toy_dataset().schema
    assert len(schema.items.categorical) > 1
    same = MMR(0.0).bind(schema).labels_.shape[1]
    assert same == len(schema.items.categorical)
    assert MMR(0.0, columns=["category"]).bind(schema).labels_.shape[1] == 1
    assert MMR(columns=["category"]).requires == ("item.category",)


def test_mmr_prefers_another_category() -> None:
    schema = toy_dataset().schema
    category = schema.item_column("category")
    alike = np.flatnonzero(category == category[1])[:2].tolist()
    other = int(np.flatnonzero((category != category[1]) & (category > 0))[0])
    batch = Candidates.from_lists([[*alike, other]], scores=[[0.9, 0.8, 0.3]])
    assert chosen(batch, MMR(0.3, columns=["category"]).bind(schema), k=2) == [alike[0], other]
    assert chosen(batch, MMR(1.0, columns=["category"]).bind(schema), k=2) == alike


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_scores_are_no_relevance(bad: float) -> None:
    vectors = np.zeros((4, 2))
    batch = Candidates.from_lists([[1, 2, 3]], scores=[[bad, 0.8, 0.7]])
    assert chosen(batch, MMR(0.7, vectors=vectors), k=1) == [2]
    assert chosen(batch, MMR(0.7, vectors=vectors), k=3)[2] == 1


def test_a_broken_score_does_not_rise_by_being_different() -> None:
    vectors = np.array([[0, 0], [1, 0], [1, 0], [0, 1]], np.float64)
    batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.9, 0.8, np.nan]])
    assert chosen(batch, MMR(0.1, vectors=vectors)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trade_off": 1.5}, "trade_off=1.5; expected a number of at least 0 and at most 1"),
        ({"pool": 0}, "pool=0"),
        ({"vectors": np.ones((2, 2)), "columns": ["category"]}, "both vectors and columns"),
        ({"vectors": np.ones(3)}, r"vectors as ndarray of shape \(3,\)"),
        ({"vectors": np.full((2, 2), np.nan)}, "expected finite"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MMR(**options)


def test_vectors_of_another_catalogue_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="vectors for 5 item codes; expected 31"):
        MMR(vectors=np.ones((5, 2))).bind(toy_dataset().schema)
    batch = Candidates.from_lists([[9]], scores=[[1.0]])
    with pytest.raises(ContractError, match="item code 9; expected at most 4"):
        chosen(batch, MMR(vectors=np.ones((5, 2))))


def test_there_must_be_something_to_compare_by() -> None:
    data = toy_dataset()
    bare = data.schema.__class__(data.item_ids, data.user_ids, data.users.empty(data.n_items), data.users)
    with pytest.raises(ConfigurationError, match="neither vectors nor a categorical item column"):
        MMR().bind(bare)
    with pytest.raises(ConfigurationError, match="did you mean 'category'"):
        MMR(columns=["categry"]).bind(data.schema)
    with pytest.raises(NotFittedError, match="MMR before bind"):
        chosen(Candidates.from_lists([[1]], scores=[[1.0]]), MMR())
