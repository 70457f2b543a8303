"""Frames of results and what exports them: ids keep their type, and nothing is registered twice."""

from __future__ import annotations

import pytest

import recokit as rk
from recokit import candidates
from recokit.data import Dataset
from recokit.monitoring import HealthMonitor, LatencyMonitor


def answer(users: list[object]) -> rk.Recommendations:
    ids = [user for user in users if user is not None] or [1]
    log = {"user_id": ids, "item_id": [10] * len(ids), "timestamp": [*range(len(ids))]}
    return (
        rk.Pipeline([candidates.Popular(half_life=None)])
        .fit(Dataset.from_frame(log))
        .recommend(users, now=1e9)
    )


@pytest.mark.parametrize("users", [[2**53 + 1, None], [None, 7], [1, 2], ["ann", None], [None]])
@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_user_ids_keep_their_type_beside_an_anonymous_row(users: list[object], backend: str) -> None:
    pytest.importorskip(backend)
    frame = answer(users).to_frame(backend)
    column = frame["user_id"]
    found = (
        column.to_pylist()
        if backend == "pyarrow"
        else column.tolist()
        if backend == "pandas"
        else column.to_list()
    )
    known = [user for user in found if isinstance(user, int | str)]
    assert known == [user for user in users if user is not None]
    assert not any(isinstance(user, float) and user == user for user in found)
    assert len(found) == len(users)


def test_a_registry_refuses_a_second_collector_of_the_same_metrics() -> None:
    prometheus = pytest.importorskip("prometheus_client")
    from recokit.monitoring import PrometheusCollector

    registry = prometheus.CollectorRegistry()
    registry.register(PrometheusCollector([HealthMonitor()]))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(PrometheusCollector([HealthMonitor()]))
    registry.register(PrometheusCollector([LatencyMonitor()]))
