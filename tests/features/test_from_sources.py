"""FromSources: ranks and scores of lists, whoever found the candidate."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers
from recokit.data import Candidates, Requests
from recokit.errors import ConfigurationError


def listed(requests, limit):
    return [[4, 2, 9, 1][:limit], []][: len(requests)]


def test_ranks_and_scores_of_the_list_and_zero_outside():
    source = candidates.FromFunction(listed, name="mine", codes=True)
    block = features.FromSources([source], depth=3)
    requests = Requests.build([1, 2])
    found = block.featurize(Candidates.from_lists([[1, 9, 4], [4]], requests=requests))
    assert block.names == ("by_mine_rank", "by_mine_score")
    assert found[:, 0].tolist() == pytest.approx([0, 1 / 3, 1, 0])
    assert found[:3, 1].tolist() == [0, 1, 1]
    assert np.isnan(found[3, 1])


def test_scores_are_over_that_of_the_first():
    data = rk.testing.toy_dataset()
    popular = candidates.Popular(half_life=None).fit(data)
    lists = popular.retrieve(Requests.build([0]), 30)
    block = features.FromSources([candidates.Popular(half_life=None)]).fit(data)
    found = block.featurize(Candidates.from_lists([lists.item.tolist()]))
    assert found[:, 1] == pytest.approx(lists.score / lists.score[0])
    assert found[:, 0] == pytest.approx(1 / np.arange(1, 31))


def test_a_clone_learns_and_the_given_source_does_not():
    data, source = rk.testing.toy_dataset(), candidates.ItemKNN()
    features.FromSources([source]).fit(data)
    assert not hasattr(source, "offsets_")


def test_in_a_pipeline_a_ranker_sees_a_source_that_finds_no_candidates():
    data = rk.testing.toy_dataset(60, 40, n_events=3000)
    stages = [
        candidates.Popular(),
        features.FromSources([rk.Step(candidates.ItemKNN(), name="near"), candidates.History()]),
        rankers.LogisticRegression(),
    ]
    pipeline = rk.Pipeline(stages).fit(data, label_window="7D", windows=2)
    names = {"by_near_rank", "by_near_score", "by_history_rank", "by_history_score"}
    assert names <= set(pipeline.training_report_.feature_names)
    assert {feature.name for feature in stages[1].table()} == names


def test_requires_the_history_of_its_sources():
    assert features.FromSources([candidates.ItemKNN()]).requires == ("history",)


@pytest.mark.parametrize(
    "make",
    [
        lambda: features.FromSources([]),
        lambda: features.FromSources([candidates.Popular(), candidates.Popular()]),
        lambda: features.FromSources([candidates.Popular()], depth=0),
        lambda: features.FromSources([features.Calendar()]),
    ],
)
def test_what_cannot_work_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()
