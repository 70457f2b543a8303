"""SearchResult by hand: order, cells, columns, and the note on many trials; places of settings in a grid."""

from __future__ import annotations

import inspect
import math

import pytest

from recokit.errors import ConfigurationError
from recokit.tuning import SearchResult, Trial, search
from recokit.tuning.search import _grid_settings, _places


def result(*trials: Trial, best: object = None) -> SearchResult:
    return SearchResult(("NDCG@20", "Recall@5"), trials, best, "20% held out", best is not None)


GOOD = Trial(1, {"k": 3}, {"NDCG@20": 0.25, "Recall@5": math.nan}, 0.2, 0.3, 40, 1.5, 0.25, tied=True)
ALIKE = Trial(
    0, {"k": 4, "name": "x" * 70}, {"NDCG@20": 0.24, "Recall@5": 0.1}, 0.19, 0.29, 40, 1.0, 0.5, tied=True
)
FAILED = Trial(2, {"k": 5}, error="ValueError: no luck")


def test_the_first_trial_is_the_best():
    found = result(GOOD, ALIKE, FAILED, best="model")
    assert found.best_params == {"k": 3} and found.best_score == 0.25
    with pytest.raises(
        ConfigurationError, match="found 1 trials, all failed; the first by: ValueError: no luck"
    ):
        _ = result(FAILED).best_score


def test_table_and_dict_hold_no_nan():
    found = result(GOOD, ALIKE, FAILED)
    first, second, third = found.table
    assert first["Recall@5"] is None and first["name"] is None and second["Recall@5"] == 0.1
    assert (first["low"], first["high"], first["fit_seconds"], first["answer_seconds"]) == (
        0.2,
        0.3,
        1.5,
        0.25,
    )
    assert third["NDCG@20"] is None and third["low"] is None and third["error"] == "ValueError: no luck"
    assert list(first)[:4] == ["k", "name", "NDCG@20", "Recall@5"]
    assert found.to_dict() == {
        "metrics": ["NDCG@20", "Recall@5"],
        "split": "20% held out",
        "n_users": 40,
        "trials": found.table,
    }


def test_the_text_counts_failures_and_ties():
    text = repr(result(GOOD, ALIKE, FAILED))
    assert text.startswith("3 trials, 1 failed; 20% held out; 40 users")
    assert "1 others cannot be told from the best; the best of many" in text
    assert "x" * 57 + "..." in text and "x" * 58 not in text and "0.25" in text
    alone = repr(result(GOOD))
    assert (
        alone.startswith("1 trials; ")
        and "others" not in alone
        and alone.splitlines()[-1].startswith("the best of")
    )


def test_columns_of_several_kinds_become_text():
    frame = result(
        Trial(0, {"a": 1, "b": "x", "c": True, "d": 1}), Trial(1, {"a": 2.5, "b": None, "c": False, "d": "y"})
    ).to_frame()
    assert frame["a"].tolist() == [1, 2.5] and frame["c"].tolist() == [True, False]
    assert frame["d"].tolist() == ["1", "y"] and frame["b"].tolist()[0] == "x"


def test_a_sample_of_a_grid_is_part_of_it_in_order():
    choices = {"a": [1, 2, 3], "b": ["x", "y"]}
    whole = _grid_settings(choices, None, 0)
    assert whole == [{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")]
    for n in (1, 4, 6, 9):
        some = _grid_settings(choices, n, 5)
        assert some == [whole[place] for place in _places(6, n, 5)] and len(some) == min(n, 6)
    assert _places(6, 4, 5) == sorted(_places(6, 4, 5)) != _places(6, 4, 6)


def test_defaults_that_decide():
    usual = {name: option.default for name, option in inspect.signature(search).parameters.items()}
    assert (usual["metric"], usual["split"], usual["share"], usual["refit"]) == (
        "NDCG@20",
        "holdout",
        0.2,
        True,
    )
