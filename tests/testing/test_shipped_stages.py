"""Every stage that recokit ships keeps every contract of its role, and none is forgotten.

Of each class the first configuration below has all checks. Its other options can change what it learns, reads and
computes, so these have the checks that this shows in.
"""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import numpy as np
import onnx.parser
import pytest
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from recokit import candidates, diversity, exploration, features, rankers, rules, stores, text
from recokit.data import Live, LiveEvents, UserHistory
from recokit.data.search import objects
from recokit.errors import ConfigurationError
from recokit.protocols import role_of
from recokit.testing import make_requests, stage_checks, toy_dataset

VECTORS = np.random.default_rng(0).normal(size=(31, 8)).astype(np.float32)  # the toy dataset has 30 items
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


async def first_two(requests, limit):
    return np.tile([3, 1], (len(requests), 1))[:, :limit]


def lengths(texts):
    return [[len(text), 1.0] for text in texts]


FACTORS = SimpleNamespace(item_factors=VECTORS, regularization=0.1, alpha=2.0)
SIMILARITY = SimpleNamespace(similarity=csr_matrix(np.maximum(VECTORS @ VECTORS.T, 0)))


NOW = make_requests(1).now[0]


def toy_features(ids):
    """Half of the ids, one in ten of them expired."""
    store = stores.Resident(["clicks", "share"], ttl="30D", defaults={"clicks": 0.0})
    kept = ids[::2]
    values = np.random.default_rng(0).normal(size=(len(kept), 2))
    store.write(kept, values, at=NOW - 86_400 * np.arange(20.0, 20.0 + len(kept)))
    return store


def toy_sessions(keys=None):
    store = stores.ResidentSessions(ttl="30D")
    data = toy_dataset()
    log = data.interactions
    store.extend(
        data.user_ids.decode(log.user).tolist() if keys is None else np.resize(keys, len(log)).tolist(),
        data.item_ids.decode(log.item).tolist(),
        events=[log.event_names[code] for code in log.event],
        at=log.timestamp,
    )
    return store


TRIED = exploration.Statistics.empty(30).updated([1, 1, 2, 3, 3], [1.0, 0.0, 0.0, 1.0, 1.0])
TRIED_BY_DEVICE = exploration.Statistics.empty(30, column="device", labels=["mobile", "desktop"]).updated(
    [1, 1, 2, 3], [1.0, 0.0, 0.0, 1.0], ["mobile", "desktop", "mobile", "desktop"]
)


def first_three(requests, limit):
    return np.tile([3, 1, 2], (len(requests), 1))[:, :limit]


def half_price(x):
    return x[:, 0] / 2


def even_items(candidates):
    return candidates.item % 2 == 0


def older_first(candidates):
    return -candidates.item


def toy_ledger():
    """A ledger that has seen one group three times as often as its merit was."""
    ledger = diversity.ExposureLedger.of(toy_dataset(), "seller")
    even = np.r_[0.0, np.ones(len(ledger.labels))]
    ledger.set(diversity.Exposed(even + 3 * (np.arange(len(even)) == 2), even, 9))
    return ledger


def same_parity(one, other):
    return (one % 2 == other % 2).astype(np.float32)


DOUBLE_PRICE = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["": 17]>
    scores (float[N, 1] x) => (float[N, 1] y) <float two = {2.0}> { y = Mul(x, two) }
""").SerializeToString()


#: One split at a price of 2.5, as XGBoost and CatBoost write it.
XGBOOST = json.dumps(
    {
        "learner": {
            "learner_model_param": {
                "base_score": "[5E-1]",
                "num_class": "0",
                "num_feature": "1",
                "num_target": "1",
            },
            "objective": {"name": "reg:squarederror"},
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "trees": [
                        {
                            "left_children": [1, -1, -1],
                            "right_children": [2, -1, -1],
                            "split_indices": [0, 0, 0],
                            "split_conditions": [2.5, -1.0, 1.0],
                            "default_left": [1, 0, 0],
                            "sum_hessian": [4.0, 2.0, 2.0],
                            "categories_nodes": [],
                        }
                    ]
                },
            },
        }
    }
).encode()
CATBOOST = json.dumps(
    {
        "features_info": {
            "float_features": [{"feature_index": 0, "flat_feature_index": 0, "nan_value_treatment": "AsIs"}]
        },
        "oblivious_trees": [
            {
                "splits": [{"border": 2.5, "float_feature_index": 0, "split_type": "FloatFeature"}],
                "leaf_values": [-1.0, 1.0],
                "leaf_weights": [2, 2],
            }
        ],
        "scale_and_bias": [1, [0.5]],
        "model_info": {"params": {"loss_function": {"type": "RMSE"}}},
    }
).encode()

STAGES = [
    text.ParseQuery(),
    UserHistory(),
    UserHistory(events=["purchase"], max_events=3, live_events=LiveEvents()),
    candidates.Popular(),
    candidates.Popular(by="region"),
    candidates.Popular(half_life=None, window="7D", events=["purchase"]),
    candidates.PopularInCategory(),
    candidates.PopularInCategory("item.category", half_life=None, window="7D", events=["purchase"]),
    candidates.History(),
    candidates.History(half_life=None, events=["purchase", "click"]),
    candidates.ItemKNN(n_neighbors=5),
    candidates.ItemKNN(n_neighbors=5, similarity="jaccard", shrinkage=2.0),
    candidates.EASE(regularization=2.0),
    candidates.GraphFilter(),
    candidates.GraphFilter(response=[0.1, -0.1], n_factors=5, half_life="30D", max_history=20),
    candidates.IALS(4, n_iterations=3, half_life="30D"),
    candidates.PureSVD(n_factors=5),
    candidates.SASRec(8, n_blocks=1, n_heads=1, n_epochs=1, max_history=5, n_threads=1),
    candidates.TwoTower(8, hidden=(8,), n_epochs=1, n_threads=1),
    candidates.Unseen(candidates.Popular()),
    candidates.Refreshed(candidates.ItemKNN(n_neighbors=5)),
    candidates.RP3beta(n_neighbors=5),
    candidates.UserKNN(n_neighbors=5),
    candidates.SessionKNN(n_neighbors=5, session_half_life="30D"),
    candidates.NextBasket(n_neighbors=5, max_history=20),
    candidates.Blend([candidates.Popular(), candidates.ItemKNN(n_neighbors=5)]),
    candidates.Blend([candidates.History(), candidates.UserKNN()], weights=[0.7, 0.3], by="rank"),
    candidates.ColdStart([(0, candidates.Popular()), (1, candidates.Content()), (5, candidates.ItemKNN())]),
    candidates.Content(),
    candidates.Content(attributes=["category"], half_life="30D"),
    candidates.Content(text=["category"], encoder=lengths),
    candidates.Text(columns=["category"], encoder=lengths),
    candidates.Editorial(toy_dataset().item_ids.decode([3, 1, 2]).tolist()),
    candidates.Explore(),
    candidates.Explore(max_events=5),
    candidates.Repurchase(earliest=0.0),
    candidates.Trending(window="30D"),
    candidates.CoOccurrence(gap="1D", normalization="lift"),
    candidates.Transitions(half_life="30D"),
    candidates.SLIM(n_neighbors=5, regularization=2.0),
    candidates.AnnIndex(VECTORS),
    candidates.AnnIndex(VECTORS, kind="hnsw"),
    candidates.AnnIndex(VECTORS, kind="ivf", n_lists=3, n_probe=3, metric="cosine"),
    candidates.FromFunction(first_three, name="first_three", codes=True),
    candidates.FromFunction(first_two, name="first_two", codes=True),
    candidates.FromImplicit(FACTORS),
    candidates.FromImplicit(SIMILARITY, half_life="30D", max_history=20),
    candidates.Merge([candidates.Popular(), candidates.History()], limit=8),
    candidates.Merge([candidates.Popular(), candidates.ItemKNN(n_neighbors=5)], by="rrf"),
    candidates.FirstOf([candidates.History(), candidates.Popular()], min_items=5),
    features.Assemble([features.ItemActivity(), features.UserItem(), features.SourceScores()]),
    features.Assemble([features.ItemActivity(), features.Session("category")], live_events=LiveEvents()),
    features.Calendar(),
    features.Conversion("purchase", "click"),
    features.Conversion("purchase", "click", entity="item.category", window="30D"),
    features.FromStore(toy_features(toy_dataset().item_ids.ids)),
    features.FromStore(toy_features(toy_dataset().user_ids.ids), "user", "share"),
    features.Item(),
    features.Item("price"),
    features.ItemActivity(),
    features.ItemCategory(),
    features.Materialized(features.ItemActivity()),
    features.Price(),
    features.Session(),
    features.Session("category", gap="1D"),
    features.Similarity(VECTORS),
    features.FromSources([candidates.Popular(), candidates.ItemKNN(n_neighbors=5)], depth=10),
    features.SourceScores(),
    features.Standard(),
    features.Standard(live_events=LiveEvents()),
    features.User(),
    features.UserActivity(),
    features.UserCategory(),
    features.UserItem(),
    diversity.Calibration("category"),
    diversity.Calibration(np.array(["", *["a", "a|b", "", "c"] * 8])[:31], 0.3, separator="|"),
    diversity.DPP(0.5),
    diversity.DPP(vectors=VECTORS),
    diversity.DPP(similarity=csr_matrix(UNIT @ UNIT.T)),
    diversity.FacilityLocation(0.5),
    diversity.FacilityLocation(vectors=VECTORS),
    diversity.FairExposure(toy_ledger()),
    diversity.FairExposure(toy_ledger(), 2.0, objective=diversity.MMR(0.5, columns=["category"])),
    diversity.FairTopK("sponsored", 0.4),
    diversity.FairTopK(np.arange(31) % 3 == 1, 0.5, alpha=0.3, objective=diversity.MSD(vectors=VECTORS)),
    diversity.MMR(0.5),
    diversity.MMR(0.7, columns=["category"]),
    diversity.MMR(0.7, vectors=VECTORS),
    diversity.MMR(0.7, similarity=UNIT @ UNIT.T),
    diversity.MMR(0.7, similarity=same_parity),
    diversity.MSD(0.9, columns=["category", "seller"]),
    diversity.MSD(vectors=np.where(np.arange(31)[:, None] % 3, VECTORS, 0)),
    diversity.Proportional("category", 0.0),
    diversity.Proportional("seller", target="candidates"),
    diversity.TopK(),
    diversity.XQuAD("category"),
    exploration.EpsilonGreedy(epsilon=0.5),
    exploration.EpsilonGreedy(diversity.MMR(0.5), epsilon=0.5),
    exploration.Softmax(diversity.MMR(0.7, columns=["category"]), temperature=0.5),
    exploration.Softmax(),
    exploration.ThompsonSampling(TRIED, prior=(1.0, 3.0), score_trials=2.0),
    exploration.ThompsonSampling(Live(TRIED_BY_DEVICE, name="tried")),
    exploration.UCB(TRIED),
    exploration.UCB(TRIED_BY_DEVICE, confidence=0.5),
    exploration.ExplorationSlot(
        exploration.EpsilonGreedy(epsilon=1.0),
        diversity.MMR(0.7),
        places=[2, 3],
        rate=0.5,
        eligible="item.price",
    ),
    exploration.ExplorationSlot(
        exploration.Softmax(), places=[1], eligible="source.popular", budget=exploration.Budget(9, per="1D")
    ),
    stores.RecentSession(toy_sessions(), half_life="1D"),
    stores.RecentSession(toy_sessions(["mobile", "desktop"]), by="device", max_events=3),
    rules.Allowed("sponsored"),
    rules.Blocked([]),
    rules.Blocked(Live(toy_dataset().item_ids.decode([3, 1]).tolist(), name="recalled")),
    rules.Allowed({"mobile": toy_dataset().item_ids.decode([3, 1]).tolist(), "*": []}, by="device"),
    rules.Boost("item.price < 20", strength=0.5, max_places=3),
    rules.Boost(toy_dataset().item_ids.decode([3, 1]).tolist(), by="sponsored", label="paid"),
    rules.Bury("item.recalled or request.device == 'mobile'", max_places=2),
    rules.Disclose("sponsored"),
    rules.Disclose(["sponsored", rules.Boost("item.price < 20"), rules.FreshnessBoost()]),
    rules.Reasons(),
    rules.FrequencyCap(2, "30D", events=["click"]),
    rules.FrequencyCap(1, "30D", live_events=LiveEvents(), shown="session"),
    rules.FreshnessBoost(window="30D"),
    rules.FromFunction(even_items, codes=True),
    rules.Exclusive(
        [toy_dataset().item_ids.ids[[0, 1, 2]].tolist(), toy_dataset().item_ids.ids[[2, 3]].tolist()]
    ),
    rules.InStock(np.arange(31.0) % 3),
    rules.InStock("price"),
    rules.InStock(np.arange(31.0) % 3, max_age="1D", updated_at=NOW - 40_000.0 * (np.arange(31) % 4)),
    rules.MaxPerGroup("seller", 2, within=5),
    rules.MaxPerGroup("brand", 1, separator="-", hard=True),
    rules.MaxShare("category", 0.4),
    rules.MaxShare("sponsored", 0.2, only=1, within=5),
    rules.MinPerGroup("category", 1),
    rules.MinPerGroup("seller", 2, only=["seller-1", "seller-2"], within=5),
    rules.NotOwned(),
    rules.NotOwned(except_for="consumable", window="30D"),
    rules.NotOwned(except_for="consumable", again_after="7D"),
    rules.NotSeen(),
    rules.Asked(),
    rules.Where("item.price < 20 and not item.recalled"),
    rules.Where("item.price < user.age or request.device in ('mobile', 'tv') and item.category != 'wine'"),
    rules.OnePer("brand"),
    rules.Pinned({toy_dataset().item_ids.ids[3].item(): 2}),
    rules.Slots("sponsored", [1, 4]),
    rules.Spacing("seller", 2),
    rules.Spacing("sponsored", 4, only=True),
    rankers.Blend([rankers.LogisticRegression(), rankers.LinearRanker()]),
    rankers.Blend(
        [rankers.LogisticRegression(), rankers.Weighted({"price": 1.0})], weights=[2, 1], by="rank"
    ),
    rankers.Cascade([(rankers.LogisticRegression(), None), (rankers.GradientBoosting(n_estimators=5), 4)]),
    rankers.Calibrated(rankers.LogisticRegression(), min_positives=5),
    rankers.Calibrated(rankers.GradientBoosting(n_estimators=5), "beta", by="item.category", min_positives=5),
    rankers.Calibrated(rankers.Weighted({"price": 1.0}), "platt", share=1.0),
    rankers.CrossNetwork(hidden=(8,), n_epochs=2),
    rankers.FromEstimator(HistGradientBoostingClassifier(max_iter=5)),
    rankers.FromEstimator(make_pipeline(SimpleImputer(keep_empty_features=True), Ridge())),
    rankers.FromCatBoost(CATBOOST, features=["price"]),
    rankers.FromFunction(half_price, features=["price"]),
    rankers.FromFunction(older_first, name="older_first", codes=True),
    rankers.FromOnnx(DOUBLE_PRICE, features=["price"]),
    rankers.FromXGBoost(XGBOOST, features=["price"]),
    rankers.GradientBoosting(n_estimators=20),
    rankers.GradientBoosting(n_estimators=20, features=["price"]),
    rankers.LambdaMART(n_estimators=5),
    rankers.LightGBM(n_estimators=5, min_child_samples=5, num_threads=1),
    rankers.LightGBM(objective="lambdarank", n_estimators=5, num_threads=1, params={"zero_as_missing": True}),
    rankers.LinearRanker(),
    rankers.LinearRanker("lambdarank"),
    rankers.LogisticRegression(),
    rankers.MultiObjective({"click": 1.0, "purchase": 2.0}, values={"purchase": "item.price"}),
    rankers.MultiObjective(
        {"click": 1.0, "feature.price": -0.1},
        ranker=rankers.GradientBoosting(n_estimators=5),
        values={"click": "item.price"},
    ),
    rankers.NeuralNet((8,), n_epochs=2, embeddings={"item.category": 4, "user": 3}, min_rows=3),
    rankers.NeuralNet((), loss="bpr", n_epochs=2),
    rankers.PopularityNormalized(np.arange(31.0)),
    rankers.PopularityNormalized("clicks_7d", strength=1.0),
    rankers.PositionAware(rankers.LogisticRegression()),
    rankers.PositionAware(rankers.GradientBoosting(n_estimators=5), position=2),
    rankers.Weighted({"price": 1.0, "popular_rank": -1.0, "score": 0.5}),
]

#: Checks that a stage fails by design.
BY_DESIGN = {
    candidates.FirstOf: {"best_first": "each source's scores are its own; the order is that of the sources"},
    candidates.Text: {"python_events": "each query is cut into words by itself"},
    rules.Asked: {"python_events": "each query has a condition of its own"},
    text.ParseQuery: {"python_events": "each query is read by itself"},
}


def searching():
    """Requests that search, of which the first does not."""
    requests = make_requests()
    rest = len(requests) - 1
    columns = {
        "query": [None, *["cheap wine or toys, 50 or less"] * rest],
        "query_words": [None, *["wine toy"] * rest],
        "query_where": [None, *["item.price <= 50", "item.category != 'wine'"] * rest][: rest + 1],
        "query_vector": [None, *[np.array([4.0, 1.0])] * rest],
    }
    return requests.with_columns({name: objects(values) for name, values in columns.items()})


#: Requests to ask a stage with, where the toy ones will not do.
ASKED_WITH = {candidates.Text: searching(), rules.Asked: searching(), text.ParseQuery: searching()}
#: Checks of the further configurations of a class.
OF_VARIANTS = ("edge_cases", "batch_equals_singles", "saves")


def checks_of(stages):
    seen = set()
    for stage in stages:
        is_variant = type(stage) in seen
        seen.add(type(stage))
        requests, failures = ASKED_WITH.get(type(stage)), BY_DESIGN.get(type(stage), {})
        for check in stage_checks(stage, requests=requests, expected_failures=failures):
            if not is_variant or check.name in OF_VARIANTS:
                yield check


@pytest.mark.parametrize("check", list(checks_of(STAGES)), ids=repr)
def test_every_shipped_stage_keeps_its_contracts(check):
    check()


@pytest.mark.parametrize(
    "module", ["candidates", "features", "stores", "rankers", "rules", "diversity", "exploration", "text"]
)
def test_no_public_stage_is_forgotten(module):
    domain = importlib.import_module(f"recokit.{module}")
    named = [getattr(domain, name) for name in domain.__all__]
    public = {value for value in named if callable(value)}
    stages = {kind for kind in public if isinstance(kind, type) and _has_a_verb(kind)}
    assert stages and stages <= {type(stage) for stage in STAGES}


def _has_a_verb(kind):
    try:
        role_of(object.__new__(kind))
    except ConfigurationError:
        return False
    return True
