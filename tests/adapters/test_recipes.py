"""Every block of the page "With other libraries", in order, those too that need MLflow, Optuna and XGBoost."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "recipes.md"


@pytest.mark.filterwarnings("ignore")  # of the libraries, about themselves
def test_the_page_runs(tmp_path, monkeypatch):
    for package in ("mlflow", "optuna", "xgboost"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page_recipes")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    blocks = re.findall(
        r"^```python[^\n]*\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), module.__dict__)
