"""The metrics of other libraries, per user, from the same frames; and how to get into an environment that has them.

They are imported inside the functions that call them.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PEERS", "implicit_metrics", "implicit_precision", "missing", "nested", "use_peers_python"]

MODULES = ("ranx", "pytrec_eval", "ir_measures", "rectools", "lenskit", "recbole", "implicit")

Rows = Mapping[str, NDArray[Any]]
PerUser = dict[str, dict[int, float]]


def missing() -> list[str]:
    """Return the peers that this interpreter does not have."""
    return [name for name in MODULES if find_spec(name) is None]


def use_peers_python(module: str) -> None:
    """Start the benchmark again in the interpreter that RECOKIT_PEERS_PYTHON names, if this one lacks a peer."""
    other = os.environ.pop("RECOKIT_PEERS_PYTHON", None)
    if other and missing():
        os.execv(other, [other, "-m", module, *sys.argv[1:]])


def nested(rows: Rows, value: str, kind: type) -> dict[str, dict[str, Any]]:
    """Return user to item to number, with ids as text: what pytrec_eval, ir-measures and ranx take."""
    found: dict[str, dict[str, Any]] = {}
    for user, item, number in zip(*(rows[name].tolist() for name in ("user", "item", value)), strict=True):
        found.setdefault(str(user), {})[str(item)] = kind(number)
    return found


def ranx_metrics(lists: Rows, truth: Rows, k: int, p: float) -> PerUser:
    from ranx import Qrels, Run, evaluate

    qrels, run = Qrels(nested(truth, "gain", int)), Run(nested(lists, "score", float))
    names = {
        f"NDCG@{k}:linear": f"ndcg@{k}",
        f"NDCG@{k}:exponential": f"ndcg_burges@{k}",
        f"Recall@{k}": f"recall@{k}",
        f"Precision@{k}": f"precision@{k}",
        f"MAP@{k}": f"map@{k}",
        f"MRR@{k}": f"mrr@{k}",
        f"HitRate@{k}": f"hit_rate@{k}",
        "RPrecision@1000": "r-precision",
        f"RBP@1000:ranx,p={p}": f"rbp.{round(100 * p)}",
    }
    run = run.make_comparable(qrels)
    evaluate(qrels, run, list(names.values()), return_mean=False, save_results_in_run=True)
    return {ours: {int(user): float(v) for user, v in run.scores[own].items()} for ours, own in names.items()}


def pytrec_metrics(lists: Rows, truth: Rows, k: int, p: float) -> PerUser:
    import pytrec_eval

    names = {
        f"NDCG@{k}:linear": f"ndcg_cut_{k}",
        f"Recall@{k}": f"recall_{k}",
        f"Precision@{k}": f"P_{k}",
        f"MAP@{k}": f"map_cut_{k}",
        "MAP@1000": "map",
        "MRR@1000": "recip_rank",
        f"HitRate@{k}": f"success_{k}",
        "RPrecision@1000": "Rprec",
    }
    asked = {
        own if own in ("map", "recip_rank", "Rprec") else own.rpartition("_")[0] + f".{k}"
        for own in names.values()
    }
    judge = pytrec_eval.RelevanceEvaluator(nested(truth, "gain", int), asked)
    found = judge.evaluate(nested(lists, "score", float))
    return {ours: {int(user): values[own] for user, values in found.items()} for ours, own in names.items()}


def ir_measures_metrics(lists: Rows, truth: Rows, k: int, p: float) -> PerUser:
    import ir_measures
    from ir_measures import AP, ERR, RBP, RR, MatchedLists, P, R, Rprec, Success, nDCG  # noqa: F401

    names = {
        f"NDCG@{k}:linear": nDCG @ k,
        f"Recall@{k}": R @ k,
        f"Precision@{k}": P @ k,
        f"MAP@{k}": AP @ k,
        "MRR@1000": RR,
        f"HitRate@{k}": Success @ k,
        "RPrecision@1000": Rprec,
    }
    found: PerUser = {name: {} for name in names}
    by_measure = {str(measure): name for name, measure in names.items()}
    qrels, run = nested(truth, "gain", int), nested(lists, "score", float)
    for value in ir_measures.iter_calc(list(names.values()), qrels, run):
        found[by_measure[str(value.measure)]][int(value.query_id)] = value.value
    return found


def rectools_metrics(lists: Rows, truth: Rows, k: int, p: float) -> PerUser:
    import pandas as pd
    from rectools.metrics import MAP, MRR, NDCG, HitRate, Precision, Recall, calc_metrics  # noqa: F401

    reco = pd.DataFrame({"user_id": lists["user"], "item_id": lists["item"], "rank": lists["rank"]})
    test = pd.DataFrame({"user_id": truth["user"], "item_id": truth["item"]})
    metrics = {
        f"NDCG@{k}": NDCG(k),
        f"Recall@{k}": Recall(k),
        f"Precision@{k}": Precision(k),
        f"MAP@{k}": MAP(k),
        f"MRR@{k}": MRR(k),
        f"HitRate@{k}": HitRate(k),
        f"NDCG@{k}:over=reachable": NDCG(k, divide_by_achievable=True),
        f"MAP@{k}:over=k": MAP(k, divide_by_k=True),
        f"Precision@{k}:over=reachable": Precision(k, r_precision=True),
    }
    return {
        name: {int(user): float(v) for user, v in metric.calc_per_user(reco, test).items()}
        for name, metric in metrics.items()
    }


def lenskit_metrics(lists: Rows, truth: Rows, k: int, p: float) -> PerUser:
    from lenskit.data import ItemList, ItemListCollection
    from lenskit.metrics import RunAnalysis
    from lenskit.metrics.ranking import NDCG, RBP, AveragePrecision, Hit, Precision, Recall, RecipRank

    def collection(rows: Rows, ordered: bool) -> Any:
        made = ItemListCollection.empty(["user_id"])
        starts = np.flatnonzero(np.concatenate([[True], rows["user"][1:] != rows["user"][:-1]]))
        for part in np.split(np.arange(len(rows["user"])), starts[1:]):
            more = {} if ordered else {"rating": rows["gain"][part].astype(float)}
            made.add(
                ItemList(item_ids=rows["item"][part], ordered=ordered, **more),
                user_id=int(rows["user"][part[0]]),
            )
        return made

    metrics = {
        f"NDCG@{k}": NDCG(k),
        f"NDCG@{k}:linear,discount=clipped": NDCG(k, gain="rating"),
        f"Recall@{k}": Recall(k),
        f"Precision@{k}": Precision(k),
        f"MRR@{k}": RecipRank(k),
        f"HitRate@{k}": Hit(k),
        f"RBP@{k}:p={p}": RBP(k, patience=p),
    }

    def measured(metrics: dict[str, Any], lists: Rows) -> PerUser:
        analysis = RunAnalysis()
        for name, metric in metrics.items():
            analysis.add_metric(metric, label=name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # 0 / 0 for lists without test items
            found = analysis.measure(collection(lists, True), collection(truth, False)).list_metrics()
        return {
            name: {int(user): float(v) for user, v in zip(found.index, found[name], strict=True)}
            for name in metrics
        }

    # Its average precision of a list without test items is a ZeroDivisionError.
    both = np.isin(lists["user"], truth["user"])
    tested = {name: column[both] for name, column in lists.items()}
    return measured(metrics, lists) | measured({f"MAP@{k}:lenskit": AveragePrecision(k)}, tested)


def recbole_metrics(lists: Rows, truth: Rows, k: int, p: float) -> PerUser:
    from recbole.config import Config
    from recbole.evaluator.metrics import MAP, MRR, NDCG, Hit, Precision, Recall

    Config.compatibility_settings(None)  # it names numpy's types as numpy did before 1.24
    # Its lists are always k long, one for each user with test items: shorter ones have misses at the end.
    users, row = np.unique(truth["user"], return_inverse=True)
    n_relevant = np.bincount(row)
    wanted = set(zip(truth["user"].tolist(), truth["item"].tolist(), strict=True))
    hit = np.zeros((len(users), k), bool)
    for user, item, rank in zip(*(lists[name].tolist() for name in ("user", "item", "rank")), strict=True):
        if rank <= k and (user, item) in wanted:
            hit[np.searchsorted(users, user), rank - 1] = True
    config = {"topk": [k], "metric_decimal_place": 16}
    counted = {"NDCG": NDCG, "Recall": Recall, "MAP": MAP}
    values = {name: kind(config).metric_info(hit, n_relevant) for name, kind in counted.items()}
    bare = {"Precision": Precision, "MRR": MRR, "HitRate": Hit}
    values |= {name: kind(config).metric_info(hit) for name, kind in bare.items()}
    return {
        f"{name}@{k}": dict(zip(users.tolist(), found[:, k - 1].astype(float).tolist(), strict=True))
        for name, found in values.items()
    }


PEERS = {
    "ranx": (ranx_metrics, "ranx"),
    "pytrec_eval": (pytrec_metrics, "trec_eval"),
    "ir-measures": (ir_measures_metrics, "trec_eval"),
    "rectools": (rectools_metrics, "rectools"),
    "lenskit": (lenskit_metrics, "lenskit"),
    "recbole": (recbole_metrics, "recbole"),
}


def implicit_metrics(items: NDArray[Any], truth: Any, k: int) -> dict[str, float]:
    """Return implicit's means for lists of k items, (U, k), and a sparse truth (U, n_items)."""
    from implicit.evaluation import ranking_metrics_at_k

    class Given:
        """Answers with the lists that it was given, as a model of implicit would."""

        def recommend(self, users: Any, train: Any, N: int = 10, **options: Any) -> tuple[Any, Any]:
            return items[users][:, :N].astype(np.int32), np.zeros((len(users), N), np.float32)

    return dict(ranking_metrics_at_k(Given(), truth, truth, K=k, show_progress=False, num_threads=1))


def implicit_precision(per_user: NDArray[Any], n_relevant: NDArray[Any], k: int) -> float:
    """Return hits over places of all users together, from each user's share of ``min(k, n_relevant)``."""
    places = np.minimum(n_relevant, k)
    return float(np.nansum(per_user * places) / places.sum())
