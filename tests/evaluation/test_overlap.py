"""A model is not evaluated on what it has seen, unless that is said."""

import numpy as np
import pytest

import recokit as rk
from recokit.candidates import History, Popular
from recokit.data import DAY, Dataset
from recokit.errors import DataError

RNG = np.random.default_rng(1)
DATA = Dataset.from_frame(
    {
        "user": RNG.integers(0, 40, 800),
        "item": RNG.integers(0, 60, 800),
        "timestamp": np.sort(RNG.integers(0, 100 * 86400, 800)),
    }
)
TRAIN, TEST = DATA.split_at(80 * DAY)


def popular(data):
    return rk.Pipeline([Popular(half_life=None)]).fit(data)


@pytest.mark.parametrize(
    "seen", [DATA, DATA.before(81 * DAY), TEST], ids=["all", "a day too long", "the test part"]
)
def test_a_model_of_the_test_parts_time_is_refused(seen):
    with pytest.raises(DataError, match="allow_overlap=True") as refused:
        rk.evaluate(popular(seen), TEST, history=TRAIN)
    assert len(str(refused.value)) <= 500
    with pytest.raises(DataError, match="found all fitted on"):
        rk.evaluate({"honest": popular(TRAIN), "all": popular(seen)}, TEST, history=TRAIN)


def test_a_declared_overlap_stands_in_the_report():
    found = rk.evaluate(popular(DATA), TEST, ["NDCG@5"], history=TRAIN, allow_overlap=True)
    assert "fitted on events until 1970-04-1" in str(found)
    assert found.to_dict()["overlap"] == found.overlap
    assert rk.evaluate(popular(TRAIN), TEST, ["NDCG@5"], history=TRAIN, allow_overlap=True).overlap == ""


def test_lists_beside_a_history_that_has_the_test_rows_are_refused():
    lists = popular(TRAIN).recommend(TEST.user_ids.ids, k=10, now=TRAIN.until)
    assert rk.evaluate(lists, TEST, history=DATA)["NDCG@10"].n  # as of the first event of the truth
    with pytest.raises(DataError, match="events of the truth stand in the history"):
        rk.evaluate(lists, TEST, history=DATA, now=101 * DAY)
    with pytest.raises(DataError, match="stand in the history"):
        rk.evaluate(lists, TEST, history=TEST, now=101 * DAY)


def test_an_honest_split_is_evaluated_without_a_word():
    found = rk.evaluate(
        {"popular": popular(TRAIN), "own": rk.Pipeline([History()]).fit(TRAIN)}, TEST, history=TRAIN
    )
    assert found["popular"].overlap == ""
    truth = {user: [1] for user in TEST.user_ids.ids[:5].tolist()}  # without times nothing can be told
    assert rk.evaluate(popular(DATA), truth).overlap == ""


def test_saved_figures_keep_what_was_said(tmp_path):
    found = rk.evaluate(popular(DATA), TEST, ["NDCG@5"], history=TRAIN, allow_overlap=True)
    found.save(tmp_path / "figures.json")
    assert type(found).load(tmp_path / "figures.json").overlap == found.overlap


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda seen: rk.Pipeline([seen.as_source()]).fit(TRAIN),
        lambda seen: rk.Pipeline([History()], fallback=seen.as_source()).fit(TRAIN),
        lambda seen: rk.Pipeline([rk.candidates.Merge([seen.as_source(), Popular()])]).fit(TRAIN),
        lambda seen: rk.Pipeline([rk.candidates.Unseen(seen.as_source())]).fit(TRAIN),
        lambda seen: rk.Pipeline([rk.Pipeline([seen.as_source()]).fit(TRAIN).as_source()]).fit(TRAIN),
        lambda seen: popular(TRAIN).replace("popular", Popular(half_life=None).fit(DATA)),
        lambda seen: seen.non_profiling(),
    ],
    ids=["as source", "fallback", "merged", "unseen", "twice nested", "replaced", "non-profiling"],
)
def test_a_part_that_has_seen_the_test_part_is_refused_however_it_is_held(wrapped):
    with pytest.raises(DataError, match="allow_overlap=True"):
        rk.evaluate(wrapped(popular(DATA)), TEST, history=TRAIN)
    assert rk.evaluate(wrapped(popular(DATA)), TEST, history=TRAIN, allow_overlap=True).overlap


def test_the_last_moment_that_a_model_was_fitted_on_is_no_truth() -> None:
    log = {"user": [1, 2, 1, 2], "item": [5, 6, 6, 5], "timestamp": [10, 20, 30, 30]}
    data = Dataset.from_frame(log)
    last = data.with_interactions(data.interactions.between(30, 31))
    model = rk.Pipeline([Popular()])
    with pytest.raises(DataError, match="allow_overlap=True"):
        rk.evaluate(model.fit(data), last, ["HR@2"])
    train, _ = data.split_at(30, horizon="1s")
    rk.evaluate(model.fit(train), last, ["HR@2"])  # a cut at that moment: the model has seen nothing of it
