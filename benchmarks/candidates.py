"""Sources against the implicit library on gowalla, in one run: `python -m benchmarks.candidates`.

Needs `pip install -r benchmarks/requirements-peers.txt`. One thread for both, in turns, by the processor's seconds.
Factorisations of equal size, implicit's confidence and regularisation the best of six on the validation part, recokit's
likewise.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import _data
from benchmarks._harness import Check, report
from benchmarks.accuracy import judge
from recokit.candidates import IALS, ItemKNN
from recokit.data import Requests, Retrieved

__all__ = ["compared", "exact_lists"]

#: Chosen by NDCG@20 on the validation part: confidence 30 gave .0874, 1 .0601, 100 .0863.
IMPLICIT = {"factors": 64, "iterations": 15, "alpha": 30.0, "regularization": 0.05, "random_state": 0}
#: Likewise: six sweeps at .03/.001 gave .0891.
OURS: dict[str, Any] = {"unobserved_weight": 0.03, "regularization": 0.001, "n_iterations": 6}


class Peer:
    """A fitted model of implicit, asked like a source."""

    def __init__(self, model: Any, matrix: Any) -> None:
        self.model, self.matrix = model, matrix

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        ids, score = self.model.recommend(
            requests.user, self.matrix[requests.user], N=limit, filter_already_liked_items=True
        )
        return Retrieved.from_padded(np.maximum(ids, 0).astype(np.int64), score.astype(np.float32))


def in_turns(*ways: Callable[[], Any], repeat: int = 3) -> tuple[list[Any], list[float]]:
    """Call each way in turn; return what the last calls made, and the medians of the processor's seconds."""
    taken, made = np.empty((repeat, len(ways))), [None] * len(ways)
    for turn in range(repeat):
        for i, way in enumerate(ways):
            start = time.process_time()
            made[i] = way()
            taken[turn, i] = time.process_time() - start
    return made, np.median(taken, axis=0).tolist()


def exact_lists(model: IALS, split: _data.Split, n: int = 500) -> float:
    """Return the share of users whose ten best are those of a comparison of all items, one user at a time."""
    users = split.users[:n]
    history = split.history.take(users - 1)
    requests = Requests.build(
        users, now=split.train.until + 1, ragged={"history": history, "exclude": history}
    )
    found, factors = model.retrieve(requests, 10), model.user_factors(requests)
    same = 0
    for row in range(len(users)):
        score = model.item_factors_ @ factors[row]
        score[history.row(row)] = -np.inf
        score[0] = -np.inf
        mine = score[found.item[found.offsets[row] : found.offsets[row + 1]]]
        same += np.allclose(np.sort(mine), np.sort(score)[-10:], rtol=1e-4)
    return same / len(users)


def compared(split: _data.Split) -> list[Check]:
    """Fit and ask both; return the checks."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import CosineRecommender
    from threadpoolctl import threadpool_limits

    matrix = split.train.interactions.matrix(split.train.n_users, split.train.n_items)

    def factorised() -> Any:
        model = AlternatingLeastSquares(**IMPLICIT, use_gpu=False, num_threads=1)
        model.fit(matrix, show_progress=False)
        return Peer(model, matrix)

    def neighbours() -> Any:
        model = CosineRecommender(K=100, num_threads=1)
        model.fit(matrix, show_progress=False)
        return model

    def asked(source: Any) -> Callable[[], Any]:
        return lambda: judge(source, split, (20,))[1]

    with threadpool_limits(1, "blas"):  # as implicit asks for
        (model, peer), (fit, peer_fit) = in_turns(lambda: IALS(64, **OURS).fit(split.train), factorised)
        _, (knn, peer_knn) = in_turns(lambda: ItemKNN(n_neighbors=100).fit(split.train), neighbours)
        (ndcg, peer_ndcg), (seconds, peer_seconds) = in_turns(asked(model), asked(peer))
    n = len(split.users)
    return [
        Check.at_least("IALS NDCG@20 over implicit's", float(ndcg[0] / peer_ndcg[0]), 1.0),
        Check.at_most("IALS fit over implicit's", fit / peer_fit, 0.8),
        Check.at_most("ItemKNN fit over implicit's", knn / peer_knn, 0.75),
        Check.at_least("IALS users per second over implicit's", peer_seconds / seconds, 1.8),
        Check.at_least("lists equal to brute force", exact_lists(model, split), 1.0),
        Check.info("IALS fit", fit, "s"),
        Check.info("implicit ALS fit", peer_fit, "s"),
        Check.info("ItemKNN fit", knn, "s"),
        Check.info("implicit cosine fit", peer_knn, "s"),
        Check.info("IALS NDCG@20", float(ndcg[0])),
        Check.info("implicit ALS NDCG@20", float(peer_ndcg[0])),
        Check.info("IALS answers", n / seconds, "users/s"),
        Check.info("implicit ALS answers", n / peer_seconds, "users/s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["gowalla", "citeulike-a"], default="gowalla")
    data = parser.parse_args().data
    try:
        import implicit  # noqa: F401
    except ImportError:
        sys.exit("implicit is not installed; hint: pip install -r benchmarks/requirements-peers.txt")
    warnings.simplefilter("ignore")
    report("candidates", compared(_data.read(data)))


if __name__ == "__main__":
    main()
