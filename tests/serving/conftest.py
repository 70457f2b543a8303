"""What tests of the service share: a small pipeline, and services that are stopped."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.serving import Precomputed, Service, Shed
from recokit.testing import toy_dataset
from tests.stores.conftest import own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]

Serve = Callable[..., Service]


@pytest.fixture(scope="session")
def data() -> rk.Dataset:
    return toy_dataset()


@pytest.fixture(scope="session")
def pipeline(data: rk.Dataset) -> rk.Pipeline:
    stages = [candidates.Merge([candidates.ItemKNN(), candidates.Popular()]), rules.NotOwned()]
    return rk.Pipeline(stages, clock=lambda: data.until).fit(data)


@pytest.fixture
def serve(data: rk.Dataset) -> Iterator[Serve]:
    """Start a service of a pipeline, with a budget that a busy machine keeps."""
    started: list[Service] = []

    def start(pipeline: rk.Pipeline, **options: Any) -> Service:
        made: dict[str, Any] = {
            "fallback": Precomputed(data.item_ids.ids[:40].tolist()),
            "budget_ms": 30_000.0,
        }
        made["shed"] = Shed(queue_ms=20_000.0)
        service = Service(pipeline, **(made | options)).start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()
