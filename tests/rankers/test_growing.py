"""Trees of scikit-learn's histogram boosting: threads only where rows are many, and the same trees for any number."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import RankingData
from recokit.rankers import GradientBoosting, LambdaMART, _histogram_boosting


def rows(n: int) -> RankingData:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    label = (features[:, 0] + rng.normal(size=n) > 0).astype(np.float32)
    offsets = np.arange(0, n + 1, 20)
    code = np.arange(1, n + 1)
    names = tuple("abcdef")
    return RankingData(features, names, label, np.ones(n, np.float32), offsets, code, code, np.zeros(n))


def threads_of_fits(ranker, data, monkeypatch) -> list[int]:
    """Return how many OpenMP threads scikit-learn saw in each fit, where it may have two."""
    from sklearn.ensemble import _hist_gradient_boosting
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
    from threadpoolctl import threadpool_limits

    base = _hist_gradient_boosting.gradient_boosting.BaseHistGradientBoosting
    seen, fit = [], base.fit

    def spy(self, *args, **options):
        seen.append(_openmp_effective_n_threads())
        return fit(self, *args, **options)

    monkeypatch.setattr(base, "fit", spy)
    with threadpool_limits(2, user_api="openmp"):
        ranker.fit(data)
    return seen


@pytest.mark.parametrize("kind", [GradientBoosting, LambdaMART])
def test_few_rows_take_one_thread_and_many_take_all(kind, monkeypatch):
    data = rows(400)
    with monkeypatch.context() as patched:
        few = threads_of_fits(one := kind(n_estimators=4), data, patched)
    monkeypatch.setattr(_histogram_boosting, "_ROWS_FOR_THREADS", 100)
    with monkeypatch.context() as patched:
        many = threads_of_fits(two := kind(n_estimators=4), data, patched)
    assert set(few) == {1} and max(many) > 1
    assert np.array_equal(one.forest_.raw_score(data.features), two.forest_.raw_score(data.features))
