"""Each kind of fault plants itself in a fitted pipeline, changes what it says, and leaves the original alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import Live
from recokit.errors import ConfigurationError
from recokit.testing import faults
from recokit.testing.faults.catalogue import table

MARKET = rk.datasets.make_marketplace(n_users=120, n_items=90, days=60.0, seed=3)
NOW = MARKET.dataset.interactions.timestamp.max() - 7 * 86_400.0
DATA = MARKET.dataset.before(NOW)
USERS = [*DATA.user_ids.decode(np.arange(1, 13)).tolist(), None, None]
DEVICES = ["app", "web"] * 7


class Promote:
    """A team's own boost."""

    def __init__(self, promoted, *, weight=0.1):
        self.promoted, self.weight = promoted, weight

    def score(self, candidates):
        return (candidates.score * (1.0 + self.weight * self.promoted[candidates.item])).astype(np.float32)


class Sessions:
    """A team's own hydrator: what the user saw last."""

    requires = ("history",)
    provides = ("session",)

    def hydrate(self, requests):
        from recokit.data.requests import Hydrated

        last = np.maximum(requests.user * 7 % 80, 1)
        lists = rk.data.Ragged(np.arange(len(last) + 1), last, {})
        return Hydrated(ragged={"session": lists})


def fitted(data):
    random = np.random.default_rng(0)
    stock = Live(MARKET.stock_at(NOW - 86_400.0), name="stock")
    stock.set(MARKET.stock_at(NOW))
    promoted = (random.random(data.n_items + 1) < 0.2).astype(np.float32)
    recalled = data.item_ids.decode(random.choice(np.arange(1, data.n_items + 1), 8, replace=False)).tolist()
    return rk.Pipeline(
        [
            Sessions(),
            candidates.Merge(
                [
                    candidates.ItemKNN(max_history=30),
                    candidates.PureSVD(n_factors=8),
                    candidates.Popular(half_life="14D"),
                ],
                limit=60,
            ),
            rk.Step(rules.InStock(stock), name="live_stock"),
            rules.InStock(np.where(random.random(data.n_items + 1) < 0.9, 5, 0)),
            rules.Blocked(recalled),
            rules.NotOwned(),
            features.Standard(),
            rk.Step(rankers.LogisticRegression(), name="ranker"),
            Promote(promoted),
            rules.MaxShare("category", 0.4),
            diversity.MMR(0.9),
            rules.Disclose("sponsored"),
        ],
        fallback=candidates.Popular(),
    ).fit(data, label_window="7D", max_requests=150)


@pytest.fixture(scope="module")
def site():
    return faults.Site(fitted(DATA), DATA, max_requests=150, context={"device": ("app", "web")})


def answered(pipeline):
    return pipeline.recommend(
        USERS, k=10, now=NOW, context={"device": np.array(DEVICES, object)}, capture="full"
    )


def prints(pipeline):
    """What a run leaves: candidates, features, scores, lists, labels, errors, and the versions it read."""
    result = answered(pipeline)
    trace, digest = result.trace, hashlib.sha256()
    for event in trace.events:
        for part in (event.after,):
            if part is not None:
                for array in (part.item, part.score, part.features):
                    digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(f"{event.error}{event.skipped}{event.n_in}{event.n_out}".encode())
        digest.update(b"" if event.kept is None else event.kept.tobytes())
    for name, lists in sorted(trace.requests.ragged.items()):
        digest.update(name.encode() + lists.values.tobytes())
    digest.update(str(sorted(trace.versions.items())).encode() + str(trace.reasons).encode())
    digest.update(str(trace.selected.columns.get("labels")).encode())
    return digest.hexdigest(), sum(event.seconds for event in trace.events)


@pytest.fixture(scope="module")
def healthy(site):
    return prints(site.pipeline)


#: What takes longer and answers the same.
SLOW = ("slow_stage", "slow_for_segment", "retries_hide_errors")


def test_there_are_kinds_of_every_family():
    assert len(faults.CATALOGUE) >= 60
    assert {entry.family for entry in faults.CATALOGUE.values()} == set(faults.FAMILIES)
    for name, entry in faults.CATALOGUE.items():
        assert entry.name == name and entry.codes and entry.meaning.endswith("."), entry


@pytest.mark.parametrize("name", sorted(faults.CATALOGUE))
def test_a_kind_changes_what_it_says_and_leaves_the_original_alone(site, healthy, name):
    planted = faults.plant(name, site, 1)
    assert planted.kind == name and planted.codes and planted.stages
    assert {*planted.stages} <= {"", site.fusion, *site.pipeline.names}
    found, seconds = prints(planted.pipeline)
    if name in SLOW:
        assert seconds > healthy[1] + 0.08
    else:
        assert found != healthy[0]
    assert prints(site.pipeline)[0] == healthy[0]
    # Nothing in the copy tells it apart.
    assert planted.pipeline.names == site.pipeline.names
    assert [type(node.stage).__name__ for node in planted.pipeline] == [
        type(node.stage).__name__ for node in site.pipeline
    ]


@pytest.mark.parametrize(
    "name", ["truncated_index", "features_dropped", "trained_on_leaked_labels", "features_drifted"]
)
def test_the_seed_decides(site, name):
    one, same, other = (faults.plant(name, site, seed) for seed in (4, 4, 5))
    assert (one.stages, one.detail) == (same.stages, same.detail)
    assert prints(one.pipeline)[0] == prints(same.pipeline)[0]
    assert prints(one.pipeline)[0] != prints(other.pipeline)[0] or one.detail == other.detail


def test_a_fault_of_a_segment_spares_the_others(site):
    for seed in range(8):
        planted = faults.plant("rule_bypassed_for_segment", site, seed)
        column, _, label = planted.scope.partition("=")
        if column == "device" and label in DEVICES:
            break
    name = planted.stages[0]
    kept = {
        id(pipeline): answered(pipeline).trace.of(name)[0].kept
        for pipeline in (site.pipeline, planted.pipeline)
    }
    before = answered(site.pipeline).trace.of(name)[0].before
    hit = np.array([device == label for device in DEVICES])[before.row]
    mine, theirs = kept[id(planted.pipeline)], kept[id(site.pipeline)]
    assert mine[hit].all() and np.array_equal(mine[~hit], theirs[~hit]) and not theirs[hit].all()


def test_what_a_pipeline_lacks_cannot_be_hit():
    data = rk.testing.toy_dataset()
    site = faults.Site(rk.Pipeline([candidates.Popular()]).fit(data), data)
    with pytest.raises(ConfigurationError, match="expected one to plant this fault in"):
        faults.plant("flat_ranker", site, 0)
    with pytest.raises(ConfigurationError, match="flat_ranker"):
        faults.plant("flat_rankers", site, 0)
    assert "source_dead" in faults.applicable(site) and "flat_ranker" not in faults.applicable(site)


def test_the_page_lists_every_kind():
    page = (Path(__file__).parents[2] / "docs/reference/faults.md").read_text(encoding="utf-8")
    for name, (_, causes, alone, meaning) in table().items():
        assert f"| `{name}` | {meaning} | {causes.replace(', ', '<br>')} | {alone} |" in page, name


def test_parts_of_faults_do_what_they_say():
    requests = rk.testing.make_requests(6)
    source = rk.testing.FixedSource([3, 1, 2])
    short = faults.shortened(source, 2).retrieve(requests, 9)
    assert short.offsets.tolist() == [0, 2, 4, 6, 8, 10, 12] and short.item[:2].tolist() == [3, 1]
    mine = faults.part_of_calls(source, faults.dead(source), 0.5, 1).retrieve(requests, 9)
    assert 0 < len(mine.item) < 18
    reports = []
    told = rk.data.Requests(
        requests.user, requests.k, requests.now, requests.seed,
        report_degraded=lambda rows, reason: reports.append((rows.tolist(), reason)),
    )  # fmt: skip
    answer = faults.degraded(source, 1, 1.0, 1).retrieve(told, 9)
    assert np.diff(answer.offsets).tolist() == [1] * 6 and reports[0][0] == list(range(6))
    gone = faults.delisted(source, np.array([7, 8]), 1, 0.4).retrieve(requests, 9)
    assert set(gone.item[:3].tolist()) & {7, 8} and np.diff(gone.offsets).tolist() == [3] * 6


def test_scores_that_no_number_holds():
    class Scorer:
        def score(self, candidates):
            return np.linspace(0.0, 1.0, len(candidates), dtype=np.float32)

    batch = rk.testing.make_candidates()
    assert np.isinf(faults.in_half_precision(Scorer(), 1e5).score(batch)).sum() >= 1
    low = faults.in_half_precision(Scorer(), 1e-7).score(batch)
    assert len(np.unique(low)) <= 3
    assert np.isinf(faults.exponential(Scorer(), 200.0).score(batch)).any()
    full = faults.saturated(Scorer(), 5_000.0, 0.5).score(batch)
    assert np.isin(full, [0.0, 1.0]).mean() > 0.8


def test_a_source_with_vectors_in_an_index_is_changed_where_it_searches():
    data = rk.testing.toy_dataset()
    vectors = np.random.default_rng(0).normal(size=(data.n_items + 1, 4)).astype(np.float32)
    index = candidates.AnnIndex(vectors, kind="exact").fit(data)
    history = rk.data.Ragged.from_lists([[5, 6]])
    requests = rk.data.Requests.build(np.array([1]), ragged={"history": history})
    right = index.retrieve(requests, 8).item.tolist()
    assert faults.shuffled(index, 1).retrieve(requests, 8).item.tolist() != right
    lost = faults.truncated(index, np.array(right[:2]))
    assert not np.any(lost.live_.pin()[1].base.vectors[np.array(right[:2]) - 1])
    assert index.retrieve(requests, 8).item.tolist() == right
