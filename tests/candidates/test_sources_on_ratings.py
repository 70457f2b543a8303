"""Ratings as explicit signal, and thresholded to implicit feedback, on MovieLens 100K."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recokit.candidates import EASE, IALS, GraphFilter, ItemKNN, Popular, PureSVD
from recokit.data import Dataset, Ragged, Requests
from recokit.datasets import load_movielens


@pytest.fixture(scope="module")
def parts(data_dir: Path) -> tuple[Dataset, Dataset]:
    return load_movielens(data_dir / "ml-100k").split_at("1998-03-01")


def recall(source: object, train: Dataset, test: Dataset, k: int = 50) -> float:
    """Return the mean recall of liked and new films over users with a history."""
    offsets, position = train.interactions.by_user
    liked = test.at_least(4.0).interactions
    users = np.intersect1d(liked.user, train.interactions.user)
    lists = [train.interactions.item[position[offsets[user] : offsets[user + 1]]] for user in users]
    history = Ragged.from_lists(lists)
    weights = np.concatenate(
        [train.interactions.weight[position[offsets[u] : offsets[u + 1]]] for u in users]
    )
    history = Ragged(history.offsets, history.values, {"weight": weights})
    requests = Requests.build(users, now=train.until, ragged={"history": history, "exclude": history})
    found = source.retrieve(requests, k)  # type: ignore[attr-defined]
    values = []
    for row, user in enumerate(users):
        wanted = set(liked.item[liked.user == user].tolist()) - set(lists[row].tolist())
        if wanted:
            mine = found.item[found.offsets[row] : found.offsets[row + 1]]
            values.append(len(wanted & set(mine.tolist())) / len(wanted))
    return float(np.mean(values))


@pytest.mark.parametrize(
    "make",
    [
        EASE,
        lambda: GraphFilter(response=[1.0], n_factors=20),
        lambda: IALS(20, unobserved_weight=0.3, regularization=0.01),
        lambda: ItemKNN(n_neighbors=20, shrinkage=20.0, weighting="tfidf", asymmetry=0.8),
        lambda: PureSVD(20),
    ],
)
def test_ratings_work_as_weights_and_as_likes_and_both_beat_popularity(
    make: object, parts: tuple[Dataset, Dataset]
) -> None:
    train, test = parts
    assert set(np.unique(train.interactions.weight)) == {1, 2, 3, 4, 5}
    likes = train.at_least(4.0)
    assert 0 < len(likes.interactions) < len(train.interactions)
    floor = recall(Popular(half_life=None).fit(train), train, test)
    assert recall(make().fit(train), train, test) > floor  # type: ignore[operator]
    assert recall(make().fit(likes), likes, test) > recall(Popular(half_life=None).fit(likes), likes, test)  # type: ignore[operator]
