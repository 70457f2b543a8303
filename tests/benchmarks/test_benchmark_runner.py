import json
from pathlib import Path

from benchmarks import __main__ as runner

NOT_OF_SPEED = {"list_walk", "mutants"}  # they measure the code, not its speed


def test_every_benchmark_has_a_small_size():
    files = {path.stem for path in Path(runner.FOLDER).glob("*.py") if not path.stem.startswith("_")}
    assert set(runner.SMALL) == files - NOT_OF_SPEED


def test_the_page_shows_each_kept_check_beside_its_goal(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    checks = [
        {"name": "p50", "value": 1.23456, "goal": 1.2, "unit": "x", "ok": False, "relation": "<="},
        {"name": "same lists", "value": 1.0, "goal": 1.0, "unit": "", "ok": True, "relation": ">="},
        {"name": "peer", "value": None, "goal": None, "unit": "ms", "ok": True, "relation": ""},
    ]
    machine = {
        "cpu": "a processor",
        "cores": 2,
        "cores_used": 1,
        "python": "3.11",
        "numpy": "2.4",
        "kernels": "numpy",
    }
    found = {"benchmark": "request", "date": "2026-12-01", "machine": machine, "checks": checks}
    (tmp_path / "request.json").write_text(json.dumps(found))
    page = runner.table()
    assert (
        "## request\n\n2026-12-01, a processor, 1 of 2 cores; python 3.11, numpy 2.4, kernels numpy." in page
    )
    assert "| p50 | 1.235 | x | <= 1.2 | **missed** |\n" in page
    assert "| same lists | 1 |  | >= 1 | ok |\n" in page
    assert page.endswith("| peer | not measured | ms |  |  |")


def test_a_benchmark_that_breaks_is_told_by_its_missing_last_line():
    found, output = runner.run("request", "--no-such-option")
    assert found is None
    assert "unrecognized arguments" in output
