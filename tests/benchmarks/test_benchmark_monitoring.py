"""The monitoring benchmarks in small: they end in one JSON object, and the incidents are raised."""

from __future__ import annotations

import json

import pytest

from benchmarks import alerts, monitoring
from benchmarks._harness import report


@pytest.mark.slow
def test_incidents_are_raised_and_clean_days_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    checks = alerts.run(days=7, busy=60.0, repeats=2)
    assert report("alerts", checks)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = [check["name"] for check in found["checks"]]
    assert {"latency x 3", "a source down", "coverage collapse", "cold users clicked 40% less"} <= set(names)


@pytest.mark.slow
def test_costs_memory_and_errors_end_in_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "ROUNDS", 1)
    monkeypatch.setattr(monitoring, "BATCH", 100)
    report("monitoring", monitoring.run(2_000))
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out.splitlines()[-1])["checks"]}
    assert found["LatencyMonitor"]["goal"] == 20.0
    assert all(check["ok"] for name, check in found.items() if name.startswith("quantiles"))
