"""The model: a marketplace, the pipeline over it, and its publication as a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules, serving

#: Words for reasons; what has none is not told to customers.
WORDS = {
    "source.item_knn": "goes with what you looked at",
    "source.popular": "many people buy it",
    "source.popular_in_category": "popular in its category",
    "feature": "",
    "place": "",
    "rule": "",
    "label": "",
}


def make_data(n_users: int = 800, n_items: int = 300, seed: int = 1) -> rk.Dataset:
    """Return the events, users and items of a made marketplace; a shop reads its own here."""
    return rk.datasets.make_marketplace(n_users, n_items, seed=seed).dataset


def make_pipeline(n_trees: int = 40) -> rk.Pipeline:
    """Return the funnel: three sources, hard rules, features, trees, caps, two arms of diversity, labels, reasons."""
    return rk.Pipeline(
        [
            candidates.Merge(
                [
                    candidates.ItemKNN(),
                    candidates.PopularInCategory(),
                    candidates.Popular(half_life="14D"),
                ],
                limit=150,
            ),
            rules.Where("not item.recalled"),
            rk.Step(rules.Where("not item.age_restricted"), name="adults_only"),
            rules.NotOwned(except_for="consumable"),
            features.Standard(),
            rankers.GradientBoosting(n_estimators=n_trees, early_stopping=False),
            rules.MaxShare("category", 0.5),
            rules.MaxPerGroup("seller", 3, hard=True),
            rk.Step(diversity.MMR(0.8), when="diverse"),
            rules.Disclose("sponsored"),
            rules.Reasons(templates=WORDS),
        ],
        fallback=candidates.Popular(half_life=None),
        context={"diverse": False},
    )


def publish(models: serving.Artifacts, data: rk.Dataset, **options: Any) -> serving.Version:
    """Fit the pipeline and make it the version that serves, if it answers the first one's questions."""
    pipeline = make_pipeline(**options).fit(data, label_window="14D", max_requests=600)
    questions = Path(models.path) / "golden"
    if not questions.exists():
        serving.Golden.of(pipeline, users=100).save(questions)
    return serving.Artifacts(models.path, golden=serving.Golden.load(questions)).publish(pipeline)
