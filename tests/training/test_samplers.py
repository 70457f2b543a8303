"""Hard, refused and mixed negatives, what rankers keep of theirs, and the audit of any sampler."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels.hashing import row_seeds
from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit.candidates import FromFunction, ItemKNN, Popular
from recokit.data import Dataset
from recokit.data.sampling import PopularityNegatives, Positives, Sampled, UniformNegatives
from recokit.datasets import make_marketplace
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.features import Standard
from recokit.pipeline import Pipeline
from recokit.rankers import LogisticRegression
from recokit.training import Negatives, build_training_set, sample_negatives
from recokit.training.audit import SamplerAudit, audit
from recokit.training.negatives import as_negatives
from recokit.training.samplers import HardNegatives, ImpressedNotClicked, MixedNegatives


def make_data(n_users=80, n_items=60, n=1500, seed=0):
    rng = np.random.default_rng(seed)
    item = np.minimum(rng.geometric(0.06, n), n_items)
    log = {"user": rng.integers(1, n_users + 1, n), "item": item, "timestamp": np.arange(n, dtype=float)}
    return Dataset.from_frame(
        log,
        users={"user_id": np.arange(1, n_users + 1)},
        items={"item_id": np.arange(1, n_items + 1)},
    )


def check_sampler(sampler: Any, data: Dataset, n: int = 30) -> Sampled:
    """Check what holds for every sampler, for all users at once."""
    users = np.arange(data.n_users + 1)
    sampled = sampler.sample(users, n, seed=4)
    owner, item = np.repeat(users, n), sampled.item.ravel()
    drawn = item > 0
    assert not Positives.of(data).contains(owner[drawn], item[drawn]).any()
    assert ((sampled.probability > 0) == (sampled.item > 0)).all()
    assert np.allclose(sampler.probability(owner[drawn], item[drawn]), sampled.probability.ravel()[drawn])
    catalogue = np.arange(1, data.n_items + 1)
    total = sampler.probability(np.repeat(users, data.n_items), np.tile(catalogue, len(users)))
    total = total.reshape(len(users), -1).sum(axis=1)
    assert np.allclose(total, sampled.item[:, 0] > 0)
    for some in (users[5:6], users[::7]):
        assert sampler.sample(some, n, seed=4).item.tolist() == sampled.item[some].tolist()
    assert sampler.sample(users, n, seed=5).item.tolist() != sampled.item.tolist()
    assert sampler.sample(np.zeros(0, np.int64), n).item.shape == (0, n)
    return sampled


class TestHard:
    def test_from_the_top_of_the_list_without_positives(self):
        data = make_data()
        sampler = HardNegatives(Popular(half_life=None), depth=10, skip=2).fit(data)
        sampled = check_sampler(sampler, data)
        ranked = Popular(half_life=None).fit(data).item_[:60].tolist()
        taken = Positives.of(data)
        for user in (1, 33):
            mine = set(taken.item[taken.offsets[user] : taken.offsets[user + 1]].tolist())
            allowed = [item for item in ranked if item not in mine][2:12]
            assert set(sampled.item[user].tolist()) <= set(allowed)
            assert sampler.lists(np.array([user])).values.tolist() == allowed

    def test_a_fitted_source_is_used_and_an_unfitted_one_cloned(self):
        data = make_data()
        fitted = ItemKNN().fit(data)
        assert HardNegatives(fitted).fit(data).source_ is fitted
        unfitted = ItemKNN()
        assert HardNegatives(unfitted).fit(data).source_ is not unfitted
        assert not hasattr(unfitted, "fitted_until_")
        with pytest.raises(ConfigurationError, match="fitted on events until"):
            HardNegatives(fitted).fit(data.before(500.0))

    def test_users_without_history_have_none(self):
        data = make_data()
        sampled = check_sampler(HardNegatives(ItemKNN(), depth=5).fit(data), data)
        assert sampled.item[0].tolist() == [0] * 30 and sampled.weight[0].sum() == 0

    def test_exclusion_is_pushed_down_and_many_users_go_in_chunks(self):
        data = make_data(n_users=1500, n_items=63, n=3000)
        data = data.with_interactions(data.interactions.take(np.flatnonzero(data.interactions.item < 61)))
        asked = []

        def spy(requests, limit):
            asked.append((len(requests), sum(map(len, requests.lists("exclude"))), limit))
            return [[61, 62, 63]] * len(requests)  # nobody took these

        HardNegatives(FromFunction(spy), depth=7, skip=1).fit(data).sample(np.arange(1, 1501), 2)
        assert [rows for rows, _, _ in asked] == [1024, 476]
        assert sum(excluded for _, excluded, _ in asked) == len(Positives.of(data))
        assert {limit for _, _, limit in asked} == {8}

    def test_errors(self):
        with pytest.raises(ConfigurationError, match="expected a source"):
            HardNegatives(LogisticRegression())
        for options, message in (({"depth": 0}, "depth=0"), ({"skip": -1}, "skip=-1")):
            with pytest.raises(ConfigurationError, match=message):
                HardNegatives(Popular(), **options)
        with pytest.raises(NotFittedError):
            HardNegatives(Popular()).sample(np.array([1]), 1)


class TestImpressed:
    def test_marketplace(self):
        market = make_marketplace(n_users=60, n_items=40, seed=1)
        data, shown = market.dataset, market.impressions
        sampler = ImpressedNotClicked(shown).fit(data)
        sampled = check_sampler(sampler, data)
        pairs = set(zip(shown.user.tolist(), shown.item.tolist(), strict=True))
        log = data.interactions
        taken = set(zip(log.user.tolist(), log.item.tolist(), strict=True))
        for user in range(1, 61):
            mine = {item for u, item in pairs - taken if u == user}
            assert set(sampled.item[user].tolist()) <= (mine or {0})
            assert set(sampler.sample(np.array([user]), 2000).item[0].tolist()) == (mine or {0})

    def test_nothing_shown_after_the_cut(self):
        market = make_marketplace(n_users=60, n_items=40, seed=1)
        cut = float(np.quantile(market.impressions.timestamp, 0.3))
        sampler = ImpressedNotClicked(market.impressions).fit(market.dataset.before(cut))
        early = market.impressions.timestamp < cut
        pairs = set(
            zip(market.impressions.user[early].tolist(), market.impressions.item[early].tolist(), strict=True)
        )
        refused = sampler.refused_
        users = offsets_to_rows(refused.offsets)
        assert len(refused) > 0
        assert set(zip(users.tolist(), refused.item.tolist(), strict=True)) <= pairs

    def test_from_events(self):
        log = {
            "user": [1, 1, 1, 2, 2],
            "item": [1, 2, 1, 1, 3],
            "timestamp": [1, 1, 2, 3, 4],
            "event": ["shown", "shown", "click", "shown", "purchase"],
        }
        data = Dataset.from_frame(log)
        sampled = ImpressedNotClicked(event="shown").fit(data).sample(np.array([1, 2, 0]), 2)
        assert sampled.item.tolist() == [[2, 2], [1, 1], [0, 0]]

    def test_errors(self):
        with pytest.raises(ConfigurationError, match=r"0 impressions.*'impression'"):
            ImpressedNotClicked().fit(make_data())
        shown = make_data().interactions
        with pytest.raises(ConfigurationError, match="items to 60"):
            ImpressedNotClicked(shown).fit(make_data(n_items=9))
        with pytest.raises(NotFittedError):
            ImpressedNotClicked().sample(np.array([1]), 1)


class TestMixed:
    def test_shares(self):
        data = make_data()
        hard = HardNegatives(Popular(half_life=None), depth=3)
        sampler = MixedNegatives([(UniformNegatives(), 1.0), (hard, 3.0)]).fit(data)
        sampled = check_sampler(sampler, data)
        top = sampler.samplers_[1].probability(np.repeat(np.arange(81), 30), sampled.item.ravel()) > 0
        assert 0.7 < top.mean() < 0.85

    def test_copies_learn_and_a_fitted_source_stays(self):
        data, source, uniform = make_data(), ItemKNN(), UniformNegatives()
        source.fit(data)
        sampler = MixedNegatives([(uniform, 1.0), (HardNegatives(source), 1.0)]).fit(data)
        assert sampler.samplers_[1].source_ is source
        assert not hasattr(uniform, "mass_")

    def test_where_one_has_nothing_the_others_do(self):
        data = make_data()
        sampler = MixedNegatives([(UniformNegatives(), 1.0), (HardNegatives(ItemKNN()), 99.0)]).fit(data)
        assert (sampler.sample(np.zeros(1, np.int64), 200).item > 0).all()
        assert sampler.probability(np.array([0]), np.array([1])) == pytest.approx(1 / 60)

    def test_errors(self):
        for samplers in ([], [(UniformNegatives(), 0.0)], [(UniformNegatives(), np.inf)]):
            with pytest.raises(ConfigurationError, match="share"):
                MixedNegatives(samplers)
        with pytest.raises(NotFittedError):
            MixedNegatives([(UniformNegatives(), 1.0)]).sample(np.array([1]), 1)


class TestKept:
    """What a ranker keeps of its candidates, by a sampler."""

    @given(
        st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=12), min_size=1, max_size=6),
        st.integers(0, 2**31),
        st.integers(1, 8),
    )
    @settings(max_examples=60)
    def test_in_proportion(self, rows, seed, per_request):
        offsets = counts_to_offsets(np.array([len(row) for row in rows]))
        flat = [cell for row in rows for cell in row]
        label = np.array([float(positive) for positive, _ in flat], np.float32)
        size = np.array([float(size) for _, size in flat])
        item = np.arange(1, len(flat) + 1)
        seeds = row_seeds(seed, np.arange(len(rows)))
        options = Negatives(per_positive=0, per_request=per_request, hard_share=0.0)
        index, weight, hard = sample_negatives(
            label, offsets, item, seed=seeds, negatives=options, propensity=size
        )
        assert not hard.any() and (np.diff(index) > 0).all()
        assert (weight >= 1 - 1e-6).all() and (weight[label[index] > 0] == 1).all()
        row = offsets_to_rows(offsets)
        for place in range(len(rows)):
            can = (row == place) & (label == 0) & (size > 0)
            kept = np.isin(np.arange(len(flat)), index) & (row == place)
            assert (kept & (label > 0)).sum() == (label[row == place] > 0).sum()
            assert (kept & (label == 0)).sum() == min(can.sum(), per_request)
            assert not (kept & (label == 0) & (size == 0)).any()
            alone = slice(int(offsets[place]), int(offsets[place + 1]))
            again, its_weight, _ = sample_negatives(
                label[alone],
                counts_to_offsets(np.array([len(rows[place])])),
                item[alone],
                seed=seeds[place : place + 1],
                negatives=options,
                propensity=size[alone],
            )
            mine = np.isin(index, np.flatnonzero(row == place))
            assert (again + offsets[place]).tolist() == index[mine].tolist()
            assert its_weight.tolist() == weight[mine].tolist()

    def test_probability_is_the_share_of_draws(self):
        size = np.array([1.0, 2.0, 4.0, 8.0, 100.0])
        n = 20_000
        label, item = np.zeros(5 * n, np.float32), np.tile(np.arange(1, 6), n)
        options = Negatives(per_positive=0, per_request=3, hard_share=0.0)
        index, weight, _ = sample_negatives(
            label,
            np.arange(n + 1) * 5,
            item,
            seed=row_seeds(0, np.arange(n)),
            negatives=options,
            propensity=np.tile(size, n),
        )
        expected = np.array([2 / 15, 4 / 15, 8 / 15, 16 / 15, 1.0])  # the last two are certain
        expected[:4] = np.append(np.array([1.0, 2.0, 4.0]) / 7, 1.0)
        assert np.bincount(item[index] - 1) / n == pytest.approx(expected, abs=0.02)
        for which in range(5):
            assert weight[item[index] == which + 1] == pytest.approx(1 / expected[which], rel=1e-5)

    def test_hard_ones_beside(self):
        label, size = np.zeros(20, np.float32), np.arange(20, dtype=float)
        options = Negatives(per_positive=0, per_request=10, hard_share=0.5, hard_depth=6)
        index, _, hard = sample_negatives(
            label,
            np.array([0, 20]),
            np.arange(1, 21),
            seed=np.array([3], np.uint64),
            negatives=options,
            propensity=size,
        )
        assert hard.sum() == 5 and (index[hard] < 6).all() and len(index) == 10

    def pipeline(self):
        return Pipeline([Popular(), Standard(), LogisticRegression()])

    def test_pipelines_take_samplers(self):
        market = make_marketplace(n_users=60, n_items=40, seed=1)
        data = market.dataset
        for given_, name in (
            (PopularityNegatives(alpha=0.5), "popularity_negatives"),
            (ImpressedNotClicked(market.impressions), "impressed_not_clicked"),
            (Negatives(5, 10, 0.5, 20, by=UniformNegatives()), "uniform_negatives"),
        ):
            report = (
                self.pipeline().fit(data, label_window="7D", windows=1, negatives=given_).training_report_
            )
            assert set(report.negatives) == {"hard", name}
            assert report.negatives[name] > 0
            assert (report.negatives["hard"] > 0) == isinstance(given_, Negatives)

    def test_refused_items_only(self):
        market = make_marketplace(n_users=60, n_items=40, seed=1)
        data, shown = market.dataset, market.impressions
        pairs = set(zip(shown.user.tolist(), shown.item.tolist(), strict=True))

        class Prefix:
            skipped = ()

            def __init__(self, before):
                self.source = Popular().fit(before)
                self.stages = {"popular": self.source}

            def run(self, requests):
                from recokit.compose.fusion import fuse

                return fuse(["popular"], [self.source.retrieve(requests, 40)], requests)

        options = {"label_window": "7D", "windows": 2, "validation": False}
        rows = build_training_set(Prefix, data, negatives=ImpressedNotClicked(shown), **options).data
        negative = rows.label == 0
        assert negative.any()
        kept = set(zip(rows.user[negative].tolist(), rows.item[negative].tolist(), strict=True))
        assert kept <= pairs

    def test_what_is_given(self):
        assert as_negatives(None) is None
        options = Negatives()
        assert as_negatives(options) is options and options.fitted(make_data()) is options
        sampler = UniformNegatives()
        fitted = as_negatives(sampler).fitted(make_data())
        assert fitted.by is not sampler and not hasattr(sampler, "mass_")
        with pytest.raises(ConfigurationError, match="expected a negative sampler"):
            Negatives(by=Popular())


class Leaky:
    """A sampler that was fitted on everything."""

    def __init__(self, data):
        self.inner = UniformNegatives().fit(data)

    def sample(self, user, n, *, seed=0, key=None):
        return self.inner.sample(user, n, seed=seed, key=key)


class TestAudit:
    def parts(self):
        return make_data(n_users=300, n=4000).split_at(3000.0)

    @pytest.mark.parametrize(
        "sampler", [UniformNegatives(), PopularityNegatives(), PopularityNegatives(alpha=1.5)]
    )
    def test_a_good_sampler(self, sampler):
        train, test = self.parts()
        found = audit(sampler.fit(train), train, test)
        assert found.ok and found.leak is False and found.known_positives == 0
        assert found.held_out_hits == pytest.approx(found.expected_hits, rel=0.15)

    def test_figures_against_naive(self):
        train, test = self.parts()
        sampler = UniformNegatives().fit(train)
        known, held = (
            set(zip(part.interactions.user.tolist(), part.interactions.item.tolist(), strict=True))
            for part in (train, test)
        )
        held = held - known
        users = np.array(sorted({user for user, _ in held}))
        found = audit(sampler, train, test, n=20, seed=3)
        sampled = sampler.sample(users, 20, seed=3)
        pairs = list(zip(np.repeat(users, 20).tolist(), sampled.item.ravel().tolist(), strict=True))
        hits = sum(pair in held for pair in pairs)
        assert (found.n_users, found.n_drawn, found.held_out_hits) == (len(users), len(pairs), hits)
        assert found.false_negatives == hits / len(pairs)
        by_user = {
            user: (sum(u == user for u, _ in held), sum(u == user for u, _ in known))
            for user in users.tolist()
        }
        assert found.chance == pytest.approx(np.mean([n / (60 - m) for n, m in by_user.values()]))
        counts = np.bincount([item for _, item in known], minlength=61)
        assert found.popularity == pytest.approx(
            np.mean([counts[item] for _, item in pairs]) / counts[1:].mean()
        )
        assert found.coverage == len({item for _, item in pairs}) / 60
        assert found.false_negatives == pytest.approx(found.chance, rel=0.3)
        again = audit(sampler, train, test, n=20, seed=3)
        assert again == found

    def test_popularity_skew_grows_with_the_power(self):
        train, test = self.parts()
        found = [audit(PopularityNegatives(alpha=a).fit(train), train, test) for a in (0, 0.5, 1, 2)]
        assert found[0].kl_from_uniform < 0.03 and 0.8 < found[0].popularity < 1.0
        for low, high in pairwise(found):
            assert high.popularity > low.popularity and high.kl_from_uniform > low.kl_from_uniform
        assert found[2].kl_from_positives < found[0].kl_from_positives
        assert found[0].popularity_of_positives > 1

    def test_a_leak(self):
        train, test = self.parts()
        found = audit(Leaky(make_data(n_users=300, n=4000)), train, test)
        assert found.leak and not found.ok and found.held_out_hits == 0 and found.expected_hits > 100
        assert "leak" in str(found)

    def test_known_positives(self):
        train, test = self.parts()
        log = train.interactions
        found = audit((log.user, log.item), train, test)
        assert found.known_positives == 1 and not found.ok and found.n_empty == 0
        assert "known positives; expected none" in found.findings[0]

    def test_hard_negatives_have_more_false_ones(self):
        train, test = self.parts()
        found = audit(HardNegatives(Popular(half_life=None), depth=10).fit(train), train, test)
        assert found.ok and found.false_negatives > found.chance
        assert any("times those of uniform" in finding for finding in found.findings)

    def test_batch_pairs(self):
        train, test = self.parts()
        log = train.interactions
        rng = np.random.default_rng(0)
        user, item = np.repeat(log.user, 3), rng.permutation(np.repeat(log.item, 3))
        fine = ~Positives.of(train).contains(user, item)
        found = audit((user[fine], item[fine]), train, test)
        like = audit(PopularityNegatives(alpha=1).fit(train), train, test)
        assert found.ok and found.popularity == pytest.approx(like.popularity, rel=0.15)

    def test_too_few_draws_cannot_tell(self):
        train, test = self.parts()
        found = audit(UniformNegatives().fit(train), train, test, n=1, max_users=20)
        assert found.leak is None and found.ok and found.n_users == 20
        assert any("cannot tell" in finding for finding in found.findings)

    def test_empty_draws_are_counted(self):
        train, test = self.parts()

        class Half:
            def sample(self, user, n, *, seed=0, key=None):
                item = np.tile(np.arange(n) % 2, (len(user), 1))
                return Sampled(item, item / 1.0)

        found = audit(Half(), train, test, n=10)
        assert found.n_empty == found.n_drawn
        assert "gave nothing" in str(found)

    def test_shown(self):
        train, test = self.parts()
        found = audit(UniformNegatives().fit(train), train, test)
        assert isinstance(found, SamplerAudit)
        assert str(found).startswith(f"Audit of UniformNegatives(): {found.n_drawn:,} negatives of")
        assert "held-out hits" in found._repr_html_()
        assert json.loads(json.dumps(found.to_dict()))["ok"] is True

    def test_errors(self):
        train, test = self.parts()
        sampler = UniformNegatives().fit(train)
        for options in ({"n": 0}, {"max_users": 0}):
            with pytest.raises(ConfigurationError, match="at least 1"):
                audit(sampler, train, test, **options)
        with pytest.raises(DataError, match="held-out positives"):
            audit(sampler, train, train)
        none = np.zeros(0, np.int64)
        with pytest.raises(DataError, match="no negative"):
            audit((none, none), train, test)


class TestVerdict:
    def figures(self, **changed: Any) -> SamplerAudit:
        usual = {
            "sampler": "X()", "n_users": 10, "n_drawn": 1_000, "n_empty": 0, "known_positives": 0.0,
            "false_negatives": 0.02, "chance": 0.01, "held_out_hits": 20, "expected_hits": 20.0, "popularity": 1.0,
            "popularity_of_positives": 1.5, "kl_from_uniform": 0.0, "kl_from_positives": 0.2, "coverage": 1.0,
        }  # fmt: skip
        return SamplerAudit(**(usual | changed))

    @pytest.mark.parametrize(
        ("hits", "expected", "leak"),
        [
            (2, 10.0, False),
            (1, 10.0, True),
            (0, 9.9, None),
            (0, 10.0, True),
            (4, 20.0, False),
            (3, 20.0, True),
        ],
    )
    def test_a_leak_is_a_fifth_of_the_expected_hits(self, hits, expected, leak):
        assert self.figures(held_out_hits=hits, expected_hits=expected).leak is leak

    def test_known_positives_are_never_well(self):
        assert self.figures().ok and not self.figures(known_positives=0.001).ok
        assert not self.figures(held_out_hits=0).ok

    def test_findings(self):
        assert self.figures().findings == ("false negatives: 2.000%, 2.0 times those of uniform negatives",)
        assert self.figures(chance=0.0).findings == ()
        (empty,) = self.figures(chance=0.0, n_empty=250).findings
        assert empty == "250 of 1,250 draws gave nothing"


def test_a_hundred_draws_for_each_user_by_default():
    train, test = TestAudit().parts()
    sizes: list[int] = []

    class Counting(UniformNegatives):
        def sample(self, user, n, *, seed=0, key=None):
            sizes.append(n)
            return super().sample(user, n, seed=seed, key=key)

    audit(Counting().fit(train), train, test)
    assert set(sizes) == {100}


def test_expected_hits_by_hand():
    # Item 3 is held out for user 1 and drawn by the others: half of the draws of user 2.
    frame = {"user": [1, 2, 2, 1], "item": [1, 2, 4, 3], "timestamp": [1.0, 2.0, 3.0, 9.0]}
    train, test = Dataset.from_frame(frame).split_at(5.0)
    code = {item: int(train.item_ids.encode([item])[0]) for item in (1, 2, 3, 4)}
    one = int(train.user_ids.encode([1])[0])
    drawn = np.array([code[2]] * 4 + [code[3]] * 2)
    figures = audit((np.full(6, one), drawn), train, test)
    assert (figures.n_users, figures.n_drawn, figures.held_out_hits) == (1, 6, 2)
    assert figures.false_negatives == pytest.approx(1 / 3) and figures.chance == pytest.approx(1 / 3)
    assert figures.expected_hits == 0.0 and figures.leak is None and figures.coverage == 0.5


@pytest.mark.parametrize("depth", [1, 3])
def test_hard_negatives_come_from_the_depth_after_the_skipped(depth):
    data = make_data()
    order = FromFunction(lambda requests, limit: np.tile(np.arange(1, limit + 1), (len(requests), 1)))
    sampler = HardNegatives(order, depth=depth, skip=2).fit(data)
    user = np.array([3])
    taken = set(Positives.of(data).item[slice(*Positives.of(data).offsets[3:5])].tolist())
    left = [item for item in range(1, 61) if item not in taken]
    assert sampler.lists(user).values.tolist() == left[2 : 2 + depth]
    assert HardNegatives(order).depth == 100 and HardNegatives(order).skip == 0
