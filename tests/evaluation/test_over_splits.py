"""Several models over several splits in one call, and evaluations as frames."""

import numpy as np
import pytest

import recokit as rk
from recokit import evaluation
from recokit.errors import ConfigurationError

DAY = 86_400


@pytest.fixture(scope="module")
def data():
    return rk.testing.toy_dataset()


@pytest.fixture(scope="module")
def models():
    return {"popular": rk.Pipeline([rk.candidates.Popular()]), "knn": rk.Pipeline([rk.candidates.ItemKNN()])}


@pytest.fixture(scope="module")
def found(data, models):
    splits = {f"{days} days": data.split_at(data.until - days * DAY) for days in (6, 3)}
    return evaluation.evaluate_splits(models, splits, ["NDCG@10", "HR@5"])


def test_each_split_has_what_evaluate_finds(data, models, found):
    train, test = data.split_at(data.until - 3 * DAY)
    alone = rk.evaluate(rk.Pipeline([rk.candidates.ItemKNN()]).fit(train), test, ["NDCG@10"], history=train)
    assert found["3 days"]["knn"]["NDCG@10"].mean == alone["NDCG@10"].mean
    assert found.names == ("popular", "knn") and found.metrics == ("NDCG@10", "HitRate@5")
    means = found.means("knn", "NDCG@10")
    assert means.tolist() == [found[split]["knn"]["NDCG@10"].mean for split in ("6 days", "3 days")]


def test_the_models_that_were_given_stay_unfitted(models, found):
    with pytest.raises(rk.errors.NotFittedError):
        models["knn"].recommend([None])


def test_it_is_one_table(found):
    frame = found.to_frame("pandas")
    assert len(frame) == 2 * 2 * 2
    assert {"split", "name", "segment", "metric", "mean", "low", "high", "n"} <= set(frame.columns)
    text = str(found)
    assert "mean of splits" in text and "6 days" in text and "popular" in text
    assert found._repr_html_()


def test_splits_without_names_are_numbered(data, models):
    split = data.split_at(data.until - 3 * DAY)
    found = evaluation.evaluate_splits(models, [split, split], ["NDCG@10"], by="activity")
    assert list(found.parts) == ["1", "2"]
    np.testing.assert_array_equal(*(found.means("popular", "NDCG@10")[[i]] for i in (0, 1)))


def test_nothing_to_evaluate_is_an_error(data, models):
    with pytest.raises(ConfigurationError, match="0 splits"):
        evaluation.evaluate_splits(models, [])
    with pytest.raises(ConfigurationError, match="0 models"):
        evaluation.evaluate_splits({}, [data.split_at(data.until - DAY)])


def test_an_unknown_split_is_an_error(found):
    with pytest.raises(ConfigurationError, match=r"found no split '3 day'.*'3 days'"):
        found["3 day"]


def test_evaluations_are_frames(data, found):
    one = found["3 days"]["knn"]
    assert one.to_frame("pandas")["mean"].tolist() == [score.mean for score in one.scores]
    assert one.to_frame("polars").shape[0] == len(one.scores)
    assert len(found["3 days"].to_frame()) == 2 * len(one.scores)


def test_scores_are_found_by_other_names_too(found):
    one = found["3 days"]["knn"]
    assert one["HR@5"] is one["HitRate@5"]
