"""RecTools' side of `benchmarks.two_stage`, run by an interpreter of its own: RecTools needs numpy 1.

`python _two_stage_peer.py FOLDER` reads `given.npz` and `options.json` there and writes `found.npz` and `seconds.json`.
The set-up is that of RecTools' own guide to two-stage models: candidate generators that keep scores and ranks, a
time split for the ranker's labels, the sampler of negatives, and a collector of features as a user of pandas writes it.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from lightgbm import LGBMClassifier
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import TimeRangeSplitter
from rectools.models import ImplicitALSWrapperModel, ImplicitItemKNNWrapperModel, PopularModel
from rectools.models.ranking import (
    CandidateFeatureCollector,
    CandidateGenerator,
    CandidateRankingModel,
    PerUserNegativeSampler,
    Reranker,
)

USER, ITEM, TIME = Columns.User, Columns.Item, Columns.Datetime


class Features(CandidateFeatureCollector):
    """Counts and ages of users, items, their pairs, and users' shares of categories, as of the end of the data."""

    def __init__(self, category: np.ndarray, price: np.ndarray) -> None:
        self.category, self.price = category, price

    def _get_user_features(self, users: Any, dataset: Dataset, fold_info: Any) -> pd.DataFrame:
        log = self._log(dataset)
        return (
            self._activity(log, [USER], "user")
            .join(log.groupby(USER)[ITEM].nunique().rename("user_items"))
            .reset_index()
        )

    def _get_item_features(self, items: Any, dataset: Dataset, fold_info: Any) -> pd.DataFrame:
        log = self._log(dataset)
        found = (
            self._activity(log, [ITEM], "item")
            .join(log.groupby(ITEM)[USER].nunique().rename("item_users"))
            .reset_index()
        )
        found["price"], found["category"] = self.price[found[ITEM]], self.category[found[ITEM]]
        return found

    def _get_user_item_features(
        self, useritem: pd.DataFrame, dataset: Dataset, fold_info: Any
    ) -> pd.DataFrame:
        log = self._log(dataset)
        log["category"] = self.category[log[ITEM]]
        found = useritem[[USER, ITEM]].copy()
        found["category"] = self.category[found[ITEM]]
        found = found.merge(
            self._activity(log, [USER, ITEM], "pair").reset_index(), on=[USER, ITEM], how="left"
        )
        of_category = self._activity(log, [USER, "category"], "user_category").reset_index()
        found = found.merge(of_category, on=[USER, "category"], how="left")
        return found.drop(columns="category")

    def _log(self, dataset: Dataset) -> pd.DataFrame:
        log = dataset.get_raw_interactions()[[USER, ITEM, TIME]]
        log["age"] = (log[TIME].max() - log[TIME]).dt.total_seconds() / 86_400
        return log

    def _activity(self, log: pd.DataFrame, by: list[str], name: str) -> pd.DataFrame:
        """Return counts in all and of the last weeks, decayed counts, and the ages of the first and last event."""
        log = log.assign(
            week=log["age"] < 7,
            month=log["age"] < 30,
            quarter=log["age"] < 90,
            decayed=0.5 ** (log["age"] / 30),
        )
        groups = log.groupby(by)
        found = groups[["week", "month", "quarter", "decayed"]].sum()
        found["count"], found["last"], found["first"] = (
            groups.size(),
            groups["age"].min(),
            groups["age"].max(),
        )
        return found.add_prefix(f"{name}_")


def build(options: dict[str, Any], given: Any) -> CandidateRankingModel:
    """Return the model; options as recokit's side has them."""
    models = {
        "item_knn": ImplicitItemKNNWrapperModel(CosineRecommender(K=options["n_neighbors"])),
        "ials": ImplicitALSWrapperModel(
            AlternatingLeastSquares(
                factors=options["n_factors"], iterations=options["n_iterations"], alpha=10, random_state=0
            )
        ),
        "popular": PopularModel("n_interactions", period=timedelta(days=options["popular_days"])),
    }
    return CandidateRankingModel(
        candidate_generators=[
            CandidateGenerator(models[name], options["n_candidates"], keep_ranks=True, keep_scores=True)
            for name in options["sources"]
        ],
        splitter=TimeRangeSplitter(
            test_size=options["label_window"], n_splits=1, filter_already_seen=options["unseen_only"]
        ),
        sampler=PerUserNegativeSampler(n_negatives=options["n_negatives"], random_state=0),
        feature_collector=Features(given["category"], given["price"]),
        reranker=Reranker(LGBMClassifier(**options["lightgbm"], random_state=0, verbose=-1)),
    )


def main() -> None:
    folder = Path(sys.argv[1])
    options, given = json.loads((folder / "options.json").read_text()), np.load(folder / "given.npz")
    frame = pd.DataFrame({USER: given["user"], ITEM: given["item"], Columns.Weight: given["weight"]})
    frame[TIME] = pd.to_datetime(given["timestamp"], unit="s")
    dataset = Dataset.construct(frame)
    started = time.perf_counter()
    model = build(options, given).fit(dataset)
    fitted = time.perf_counter()
    found = model.recommend(
        given["asked"], dataset, k=10, filter_viewed=options["unseen_only"], on_unsupported_targets="ignore"
    )
    ended = time.perf_counter()
    np.savez(folder / "found.npz", user=found[USER], item=found[ITEM], rank=found[Columns.Rank])
    (folder / "seconds.json").write_text(json.dumps({"fit": fitted - started, "recommend": ended - fitted}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
