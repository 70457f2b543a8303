"""How far a list walks through the code: the stays in modules from the start of selection to the answer.

Run with ``python benchmarks/list_walk.py``; ``--json`` prints the figures alone. It imports nothing of this folder, so
``PYTHONPATH=<another checkout> python benchmarks/list_walk.py`` measures other code in the same way.

A stay is a maximal run of consecutive Python call events (``sys.setprofile``) inside one module of recokit, where calls
of functions outside recokit are not counted. A recursion between two modules is a stay for each change of module. A
return is a stay in a module where the list has been before. The walk begins with the call that starts selection and
ends when ``Pipeline.recommend`` returns. ``outside slates.select`` counts the same walk with all calls made inside
``slates.select`` left out but the first: greedy selection asks its objective once for each place of the list. The
request has sources merged, two filters, features, boosted trees, two caps, MMR and a disclosure label, for one user; it
is measured warm.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.datasets.marketplace import make_marketplace

__all__ = ["build_pipeline", "main", "measure", "stays", "traced_calls", "walk_of"]

#: Functions that start selection, of this code and of earlier code: module and qualified name.
STARTS = frozenset(
    {
        ("recokit.pipeline.finish", "finish"),
        ("recokit.pipeline.selection", "Selector.__init__"),
    }
)
K = 20


def build_pipeline() -> tuple[rk.Pipeline, Any]:
    """Return a fitted pipeline over a small marketplace, and the id of a user with a past."""
    market = make_marketplace(300, 400, seed=3)
    stock = rk.Live(market.stock_at(market.dataset.until).astype(float), name="stock")
    pipeline = rk.Pipeline(
        [
            candidates.Merge(
                [
                    candidates.History(half_life="30D"),
                    candidates.ItemKNN(n_neighbors=30),
                    candidates.Popular(half_life="14D", by="country"),
                ],
                limit=200,
            ),
            rules.InStock(stock),
            rules.NotOwned(except_for="consumable"),
            features.Standard(),
            rankers.GradientBoosting(n_estimators=20),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            diversity.MMR(0.7),
            rules.Disclose("sponsored"),
        ]
    )
    pipeline.fit(market.dataset, label_window="7D", windows=1, max_requests=150)
    return pipeline, market.dataset.user_ids.decode(market.dataset.interactions.user[:1])[0]


@dataclass(frozen=True)
class Call:
    """One call of a function of recokit, and whether ``slates.select`` is under way."""

    module: str
    name: str
    selecting: bool


def traced_calls(work: Callable[[], object]) -> list[Call]:
    """Return the calls of recokit's functions during some work, in order."""
    calls: list[Call] = []
    selecting: list[FrameType] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.partition(".")[0] == "recokit":
            calls.append(Call(module, frame.f_code.co_qualname, bool(selecting)))
            if module.startswith("recokit.slates.") and frame.f_code.co_qualname == "select":
                selecting.append(frame)
        elif event == "return" and selecting and frame is selecting[-1]:
            selecting.pop()

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def stays(calls: list[Call]) -> list[str]:
    """Return the module of each stay, in order."""
    modules = [call.module for call in calls]
    return [module for i, module in enumerate(modules) if i == 0 or module != modules[i - 1]]


def walk_of(calls: list[Call]) -> list[Call]:
    """Return the calls from the start of selection on."""
    return calls[next(i for i, call in enumerate(calls) if (call.module, call.name) in STARTS) :]


def measure() -> tuple[dict[str, int], list[Call]]:
    """Return the figures of one request, and its calls."""
    pipeline, user = build_pipeline()
    now = pipeline.fitted_until

    def request() -> None:
        pipeline.recommend([user], k=K, now=now)

    for _ in range(3):
        request()
    calls = traced_calls(request)
    walk = stays(walk_of(calls))
    outside = stays([call for call in walk_of(calls) if not call.selecting])
    return {
        "stays": len(walk),
        "returns": len(walk) - len(set(walk)),
        "modules": len(set(walk)),
        "rooms": len({".".join(module.split(".")[:2]) for module in walk}),
        "stays outside slates.select": len(outside),
        "stays in recokit.pipeline": sum(module.startswith("recokit.pipeline.") for module in outside),
        "calls from selection on": len(walk_of(calls)),
        "calls": len(calls),
        "modules entered": len({call.module for call in calls}),
        "functions": len({(call.module, call.name) for call in calls}),
    }, calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the last line only")
    options = parser.parse_args()
    figures, calls = measure()
    if not options.json:
        print("From the start of selection to the answer, a line for each stay outside slates.select:")
        last = ""
        for call in walk_of(calls):
            if call.module != last and not call.selecting:
                print(f"  {call.module}: {call.name}")
            last = last if call.selecting else call.module
        print("Functions called in the whole request, by module:")
        functions = Counter(module for module, _ in {(call.module, call.name) for call in calls})
        for module, n in Counter(call.module for call in calls).most_common():
            print(f"  {module}: {n} calls of {functions[module]} functions")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
