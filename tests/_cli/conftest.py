"""A shop's files and a fitted model, made once."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import recokit as rk
from recokit._cli.main import main

PIPELINE = '''
import recokit as rk
from recokit import candidates, rules


class Lucky:
    """Drop every seventh item."""

    def keep(self, candidates):
        return candidates.item % 7 != 0


def make_pipeline():
    return rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()]), rules.NotOwned()])


def lucky():
    return rk.Pipeline([candidates.Popular(), Lucky()])


def load_data():
    return rk.datasets.make_marketplace(n_users=80, n_items=60, days=40, seed=2).dataset


def broken():
    raise KeyError("no such column")


def nothing():
    return None
'''


def write_csv(path: Path, columns: dict) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with events.csv, items.csv, shop_code.py and a model fitted on the first 30 of 40 days."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop_code.py").write_text(PIPELINE, encoding="utf-8")
    data = rk.datasets.make_marketplace(n_users=80, n_items=60, days=40, seed=2).dataset
    log = data.interactions
    events = {
        "user_id": data.user_ids.decode(log.user),
        "item_id": data.item_ids.decode(log.item),
        "timestamp": log.timestamp.tolist(),
        "event": [log.event_names[code] for code in log.event],
    }
    write_csv(folder / "events.csv", events)
    seller = data.items.labels("seller").decode(data.items.column("seller")[1:])
    write_csv(folder / "items.csv", {"item_id": data.item_ids.ids, "seller": seller})
    code = str(folder / "shop_code.py")
    assert (
        main(["fit", code, f"{folder}/events.csv", "--until", "2025-01-31", "--out", f"{folder}/model"]) == 0
    )
    return folder


@pytest.fixture
def run(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """Return a function that runs a command in the shop's folder: exit code, output, errors."""
    monkeypatch.chdir(shop)
    capsys.readouterr()

    def call(line: str) -> tuple[int, str, str]:
        code = main(line.split())
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
