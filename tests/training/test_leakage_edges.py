"""Leakage on rows made by hand: where each check begins, what it says, and what it must not take for a leak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recokit import Pipeline, candidates, features, rankers
from recokit.data import Dataset, RankingData
from recokit.errors import ConfigurationError, DataError
from recokit.testing import toy_dataset
from recokit.training._statistics import LabelCounts, event_statistics, label_counts
from recokit.training.leakage import detect_leakage, leaking_features

NOW = 1.7e9


def rows(columns: dict[str, Any], label: Any = None, **parts: Any) -> RankingData:
    n = len(next(iter(columns.values())))
    label = np.arange(n) % 2 if label is None else np.asarray(label)
    usual = {
        "weight": np.ones(n, np.float32),
        "offsets": np.arange(n + 1),
        "user": np.arange(n) % 7 + 1,
        "item": np.arange(n) % 11 + 1,
        "now": np.full(n, NOW),
    }
    features = np.stack([np.asarray(column, np.float32) for column in columns.values()], axis=1)
    return RankingData(features, tuple(columns), label.astype(np.float32), **(usual | parts))


def log_of(user: Any, item: Any, time: Any, event: Any = None, **tables: Any) -> Dataset:
    frame = {"user_id": user, "item_id": item, "timestamp": time}
    return Dataset.from_frame(frame if event is None else frame | {"event": event}, **tables)


class TestFuture:
    def check(self, values: Any, **options: Any) -> Any:
        return detect_leakage(rows({"x": values}), **options)["leak.future"]

    @pytest.mark.parametrize(
        ("ahead", "late", "status"),
        [
            (-256, 0.0, "pass"),
            (128, 0.0, "pass"),
            (128, 0.5, "pass"),
            (128, -0.5, "fail"),
            (256, 0.0, "fail"),
        ],
    )
    def test_times_count_from_the_precision_of_float32(self, ahead: int, late: float, status: str) -> None:
        moment = float(np.float32(NOW))
        data = rows({"x": np.full(40, moment + ahead)}, now=np.full(40, moment + late))
        assert detect_leakage(data)["leak.future"].status == status

    @pytest.mark.parametrize(
        ("ahead", "status"), [(-1.0, "pass"), (0.0, "fail"), (1.0, "fail"), (np.nan, "pass")]
    )
    def test_declared_times_must_lie_before_the_request(self, ahead: float, status: str) -> None:
        data = rows({"x": np.arange(4)})
        assert detect_leakage(data, available_at={"x": data.now + ahead})["leak.future"].status == status

    def test_evidence_and_rows(self) -> None:
        times = np.full(40, NOW - 86_400)
        times[[3, 5, 9]] = NOW + np.array([3_600, 7_200, 86_400])
        check = self.check(times)
        assert check.status == "fail" and check.rows.tolist() == [3, 5, 9] and check.evidence["rows"] == 3
        assert check.evidence["median_lead_s"] == pytest.approx(7_200, abs=128)
        assert "3 of 40 rows" in check.message and "strictly before" in check.hint

    @pytest.mark.parametrize(
        ("values", "status"),
        [
            (np.full(300, 3.1e8), "pass"),  # too early for a time
            (np.full(300, NOW + 4e8), "pass"),  # more than ten years ahead
            (np.full(300, NOW + 3e8), "fail"),
            (np.where(np.arange(300) < 290, 0.0, NOW + 1e4), "fail"),  # 0 is missing
            (np.where(np.arange(300) < 290, np.nan, NOW + 1e4), "fail"),
            (np.where(np.arange(300) < 4, 5.0, NOW + 1e4), "pass"),  # one in a hundred is no time
            (np.where(np.arange(300) < 2, 5.0, NOW + 1e4), "fail"),
            (np.zeros(300), "pass"),
        ],
    )
    def test_what_is_a_time(self, values: Any, status: str) -> None:
        assert self.check(values).status == status

    def test_long_ago_is_no_time(self) -> None:
        data = rows({"x": np.full(40, 4e8)}, now=np.full(40, 3.9e8))
        assert detect_leakage(data)["leak.future"].status == "fail"
        assert self.check(np.full(40, NOW - 3.3e8)).status == "pass"


class TestStatistics:
    def test_counts_then_and_ever_and_rates(self) -> None:
        data = log_of(
            [1, 1, 2, 1, 2, 1],
            [5, 5, 5, 6, 6, 5],
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            ["view", "view", "buy", "view", "buy", "buy"],
        )
        code = {item: int(data.item_ids.encode([item])[0]) for item in (5, 6)}
        user = {who: int(data.user_ids.encode([who])[0]) for who in (1, 2)}
        requests = rows(
            {"x": np.zeros(3)},
            user=np.array([user[1], user[2], user[2]]),
            item=np.array([code[5], code[6], code[5]]),
            now=np.array([2.0, 4.5, 9.0]),
        )
        found = {
            name: (then.tolist(), ever.tolist())
            for name, then, ever in event_statistics(requests, data.interactions)
        }
        assert found["item's number of view events"] == ([1, 1, 2], [2, 1, 2])
        assert found["item's number of buy events"] == ([0, 0, 2], [2, 1, 2])
        assert found["item's number of events"] == ([1, 1, 4], [4, 2, 4])
        assert found["user's number of view events"] == ([1, 0, 0], [3, 0, 0])
        assert found["user's number of buy events"] == ([0, 1, 2], [1, 2, 2])
        order = data.interactions.event_names
        for entity in ("item", "user"):  # two requests come from a user without a view
            name = f"{entity}'s rate of {order[1]} by {order[0]}"
            part, whole = (found[f"{entity}'s number of {event} events"] for event in (order[1], order[0]))
            for when in (0, 1):
                expected = [p / w if w else np.nan for p, w in zip(part[when], whole[when], strict=True)]
                np.testing.assert_allclose(found[name][when], expected)
        assert np.isnan(found["user's rate of buy by view"][0]).sum() == 2
        assert len(found) == 8

    def test_nobody_has_no_events(self) -> None:
        log = log_of([1, 2, 2], [1, 1, 2], [1.0, 2.0, 3.0])
        requests = rows({"x": np.zeros(2)}, user=np.array([0, 2]), item=np.array([0, 1]), now=np.full(2, 2.5))
        found = {
            s.name: (s.then.tolist(), s.ever.tolist()) for s in event_statistics(requests, log.interactions)
        }
        assert list(found.values()) == [([0, 2], [0, 2]), ([0, 1], [0, 2])]  # the item's, the user's

    def test_one_type_of_event_needs_no_total_and_few_types_are_paired(self) -> None:
        one = log_of([1, 2], [1, 2], [1.0, 2.0])
        names = [s.name for s in event_statistics(rows({"x": np.zeros(2)}), one.interactions)]
        assert len(names) == 2
        kinds = [f"e{k}" for k in range(8)]
        many = log_of(range(8), range(8), np.arange(8.0), kinds, event_weights=dict.fromkeys(kinds, 1.0))
        assert len(list(event_statistics(rows({"x": np.zeros(2)}), many.interactions))) == 2 * (6 + 1 + 15)


class TestAllTime:
    def made(self, n: int = 200, n_items: int = 60) -> tuple[RankingData, RankingData, Dataset]:
        """Return rows with their items' counts so far, with those of all time, and the log."""
        rng = np.random.default_rng(0)
        early, late = rng.integers(0, 30, n_items), rng.integers(0, 30, n_items)
        item = np.concatenate(
            [np.repeat(np.arange(1, n_items + 1), early), np.repeat(np.arange(1, n_items + 1), late)]
        )
        time = np.concatenate([np.full(early.sum(), NOW - 10.0), np.full(late.sum(), NOW + 10.0)])
        events = log_of(np.arange(len(item)) + 1, item, time)
        codes = events.item_ids.encode(rng.integers(1, n_items + 1, n))
        data = rows({"x": np.zeros(n)}, item=codes, user=np.ones(n, np.int64))
        log = events.interactions
        then = np.array([((log.item == code) & (log.timestamp < NOW)).sum() for code in codes])
        ever = np.array([(log.item == code).sum() for code in codes])
        return self.with_x(data, then), self.with_x(data, ever), events

    @staticmethod
    def with_x(data: RankingData, values: Any) -> RankingData:
        return replace(data, features=np.asarray(values, np.float32)[:, None])

    def test_counts_then_pass_and_counts_ever_fail(self) -> None:
        honest, leaking, events = self.made()
        assert detect_leakage(honest, events=events)["leak.all_time"].status == "pass"
        check = detect_leakage(leaking, events=events)["leak.all_time"]
        assert check.status == "fail" and check.subject == "x"
        assert check.evidence["with_all_time"] == pytest.approx(1.0) and check.evidence["with_then"] < 0.9
        assert check.evidence["statistic"].startswith("item's number of")
        down = detect_leakage(self.with_x(leaking, -leaking.features[:, 0]), events=events)["leak.all_time"]
        assert down.status == "fail" and down.evidence["with_all_time"] == pytest.approx(-1.0)

    @pytest.mark.parametrize(("n", "status"), [(49, "pass"), (50, "fail")])
    def test_fifty_known_rows_tell(self, n: int, status: str) -> None:
        _, leaking, events = self.made(120)
        values = leaking.features[:, 0].copy()
        values[n:] = np.nan
        assert detect_leakage(self.with_x(leaking, values), events=events)["leak.all_time"].status == status

    def test_a_mixture_that_then_explains_as_well_passes(self) -> None:
        honest, leaking, events = self.made()
        then, ever = honest.features[:, 0], leaking.features[:, 0]
        mixed = then + 0.5 * (ever - then)
        assert detect_leakage(self.with_x(honest, mixed), events=events)["leak.all_time"].status == "pass"

    @pytest.mark.parametrize(("n_items", "status"), [(19, "pass"), (60, "fail")])
    def test_few_different_values_tell_nothing(self, n_items: int, status: str) -> None:
        _, leaking, events = self.made(n_items=n_items)
        assert detect_leakage(leaking, events=events)["leak.all_time"].status == status

    def test_no_log_is_no_pass(self) -> None:
        check = detect_leakage(self.made()[0])["leak.all_time"]
        assert check.status == "not checked" and "events=" in check.hint


class TestTargetMean:
    def test_a_mean_that_is_explained_is_as_sure_as_can_be(self) -> None:
        rng = np.random.default_rng(5)
        item, label = rng.integers(1, 40, 600), rng.random(600) < 0.3
        mean = np.array([label[item == code].mean() for code in item])
        check = detect_leakage(rows({"x": mean}, label, item=item))["leak.target_mean"]
        assert check.evidence == {"by": "item", "correlation": 1.0}
        assert "(rank correlation 1.000)" in check.message

    def test_labels_of_0_and_below_are_of_one_kind(self) -> None:
        for low in (np.full(200, -1.0), np.arange(200) % 2 - 1.0):
            label = np.where(np.arange(200) >= 100, 1.0, low)
            report = detect_leakage(rows({"x": np.arange(200.0)}, label))
            assert report["leak.auc"].evidence == {"auc": pytest.approx(1.0), "by": "value"}
        (counts,) = label_counts(rows({"x": label}, label, user=np.ones(200, np.int64)), None)
        assert counts.hits.sum() == 100

    def test_few_labels_of_a_kind_are_not_checked(self) -> None:
        for n, status in ((19, "not checked"), (20, "pass")):
            label = np.arange(200) < n
            for labels in (label, ~label):
                report = detect_leakage(rows({"x": np.random.default_rng(0).normal(size=200)}, labels))
                assert report["leak.target_mean"].status == report["leak.auc"].status == status

    def test_groups_and_priors(self) -> None:
        rng = np.random.default_rng(1)
        item, label = rng.integers(1, 40, 600), rng.random(600) < 0.3
        data = rows({"x": np.zeros(600)}, label, item=item, user=np.ones(600, np.int64))
        (counts,) = list(label_counts(data, None))  # one user alone is no group
        assert counts.name == "item" and counts.rows.sum() == 600 and counts.hits.sum() == label.sum()
        assert (counts.rows[counts.at] == [np.sum(item == code) for code in item]).all()
        means = list(counts.means())
        plain = [label[item == code].mean() for code in item]
        np.testing.assert_allclose(means[0], plain)
        prior = label.mean()
        smooth = [(label[item == code].sum() + 10 * prior) / (np.sum(item == code) + 10) for code in item]
        np.testing.assert_allclose(means[3], smooth)
        assert len(means) == 7

    def test_categories_of_the_tables_are_groups(self) -> None:
        ids = np.arange(1, 41)
        events = log_of(
            ids, ids, ids.astype(float),
            items={"item_id": ids, "category": [f"c{k % 6}" for k in ids]},
            users={"user_id": ids, "country": [f"u{k % 5}" for k in ids]},
        )  # fmt: skip
        data = rows({"x": np.zeros(400)}, item=np.arange(400) % 40 + 1, user=np.arange(400) % 37 + 1)
        groups = {part.name: part for part in label_counts(data, events)}
        assert list(groups) == ["item", "user", "item.category", "user.country"]
        column = events.items.column("category")[data.item]
        assert (
            groups["item.category"].rows[groups["item.category"].at] == [np.sum(column == c) for c in column]
        ).all()

    def test_a_mean_is_explained_exactly_and_no_other_column(self) -> None:
        rng = np.random.default_rng(2)
        at = rng.integers(0, 12, 500)
        hits = rng.random(500) < 0.4
        total, n = np.bincount(at, hits), np.bincount(at)
        counts = LabelCounts("item", at, n.astype(float), total)
        assert counts.explain(((total + 3.3 * 0.2) / (n + 3.3))[at])
        assert counts.explain(np.where(np.arange(500) < 9, np.nan, (total / n)[at]))
        assert not counts.explain(((total + 3.3 * 0.2) / (n + 3.3))[at] + rng.normal(0, 1e-3, 500))
        assert not counts.explain(rng.permutation(total / n)[at])
        assert not counts.explain(np.where(at < 4, (total / n)[at], np.nan))  # four groups
        assert counts.explain(np.where(at < 5, (total / n)[at], np.nan))

    def test_a_feature_of_the_mean_is_named_with_its_group(self) -> None:
        rng = np.random.default_rng(3)
        user, label = rng.integers(1, 60, 900), rng.random(900) < 0.3
        data = rows({"x": np.zeros(900)}, label, user=user, item=rng.integers(1, 4, 900))
        mean = np.array([label[user == code].mean() for code in user])
        check = detect_leakage(TestAllTime.with_x(data, np.exp(3 * mean)))["leak.target_mean"]
        assert check.status == "fail" and check.evidence["by"] == "user"
        assert check.evidence["correlation"] == pytest.approx(1.0)
        noisy = mean + rng.normal(0, 0.05, 900)
        assert detect_leakage(TestAllTime.with_x(data, noisy))["leak.target_mean"].status == "pass"


class TestAuc:
    def values(self, n_wrong: int) -> tuple[Any, Any]:
        """Return values and labels, 100 of each kind, with an AUC of 1 less 1% for each wrong positive."""
        label = np.arange(200) >= 100
        values = np.arange(200.0)
        values[100 : 100 + n_wrong] = -1.0
        return values, label

    @pytest.mark.parametrize(
        ("n_wrong", "status"), [(0, "fail"), (1, "fail"), (2, "warn"), (5, "warn"), (6, "pass")]
    )
    @pytest.mark.parametrize("sign", [1, -1])
    def test_severities(self, n_wrong: int, status: str, sign: int) -> None:
        values, label = self.values(n_wrong)
        check = detect_leakage(rows({"x": sign * values}, label))["leak.auc"]
        assert check.status == status
        if status != "pass":
            auc = 1 - n_wrong / 100
            assert check.evidence == {"auc": pytest.approx(auc if sign > 0 else 1 - auc), "by": "value"}
            assert f"{auc:.4f}, by its value" in check.message

    def test_thresholds_are_the_callers(self) -> None:
        values, label = self.values(20)
        data = rows({"x": values}, label)
        assert detect_leakage(data, warn_auc=0.8)["leak.auc"].status == "warn"
        assert detect_leakage(data, warn_auc=0.7, fail_auc=0.8)["leak.auc"].status == "fail"

    def test_missing_alone_tells(self) -> None:
        label = np.arange(200) >= 100
        values = np.where(label, np.nan, np.arange(200) % 3)
        check = detect_leakage(rows({"x": values}, label))["leak.auc"]
        assert check.status == "fail" and check.evidence == {"auc": pytest.approx(1.0), "by": "missing"}
        assert "whether it is missing" in check.message

    def test_few_known_values_are_not_ordered(self) -> None:
        label = np.arange(200) >= 100
        values = np.where((np.arange(200) >= 81) & (np.arange(200) < 119), np.arange(200.0), np.nan)
        assert detect_leakage(rows({"x": values}, label))["leak.auc"].status == "pass"
        values = np.where((np.arange(200) >= 80) & (np.arange(200) < 120), np.arange(200.0), np.nan)
        assert detect_leakage(rows({"x": values}, label))["leak.auc"].status == "fail"


class TestIds:
    def check(self, values: Any, **parts: Any) -> Any:
        return detect_leakage(rows({"x": values}, np.ones(len(values)), **parts))["leak.ids"]

    def test_an_id_has_a_whole_number_of_its_own_for_each_code(self) -> None:
        code = np.arange(400) % 20 + 1
        constant = np.ones(400, np.int64)
        check = self.check(code * 3 + 7, user=code, item=constant)
        assert check.status == "fail" and check.evidence == {"entity": "user", "distinct": 20}
        assert "20 users" in check.message
        assert self.check(code + 50, item=code, user=constant).evidence["entity"] == "item"
        assert self.check(code + 0.5, user=code, item=constant).status == "pass"
        assert self.check(np.minimum(code, 19), user=code, item=constant).status == "pass"
        assert self.check(np.where(code == 3, np.nan, code), user=code, item=constant).status == "pass"
        swapped = np.where(np.arange(400) < 20, code[::-1], code)
        assert (
            self.check(swapped, user=code, item=constant).status == "pass"
        )  # as many numbers, not one for each
        few = np.arange(400) % 19 + 1
        assert self.check(few, user=few, item=constant).status == "pass"

    def test_each_feature_is_named_once(self) -> None:
        code = np.arange(400) % 25 + 1
        data = rows({"x": code, "y": code + 1}, np.ones(400), user=code, item=code)
        findings = [check.subject for check in detect_leakage(data).findings]
        assert findings == ["x", "y"]


class TestSplit:
    def parts(self, train: list[tuple[int, int, float]], test: list[tuple[int, int, float]]) -> Any:
        whole = log_of(*zip(*sorted(train + test, key=lambda row: row[2]), strict=True))

        def part(events: list[tuple[int, int, float]]) -> Dataset:
            return whole.with_interactions(
                whole.interactions.take(
                    np.array([
                        np.flatnonzero(
                            (whole.interactions.timestamp == time)
                            & (whole.interactions.user == whole.user_ids.encode([user])[0])
                            & (whole.interactions.item == whole.item_ids.encode([item])[0])
                        )[0]
                        for user, item, time in sorted(events, key=lambda row: row[2])
                    ])
                )
            )  # fmt: skip

        return detect_leakage(part(train), part(test))

    def test_parts_have_names_and_options_have_nothing_but_names(self) -> None:
        train, test = rows({"x": np.zeros(40)}), rows({"x": np.zeros(40)}, now=np.full(40, NOW - 1.0))
        assert detect_leakage(train=train, test=test)["leak.time_overlap"].status == "fail"
        with pytest.raises(TypeError, match="positional"):
            detect_leakage(train, test, None)  # type: ignore[misc]

    def test_a_test_row_at_the_end_of_train_is_not_older(self) -> None:
        report = self.parts([(1, 1, 1.0), (2, 2, 5.0)], [(1, 2, 5.0), (2, 1, 6.0)])
        assert report["leak.time_overlap"].status == "pass"
        assert report["leak.time_overlap"].evidence == {"rows": 0, "train_until": 5.0, "test_from": 5.0}
        report = self.parts([(1, 1, 1.0), (2, 2, 5.0)], [(1, 2, 4.0), (2, 1, 6.0)])
        check = report["leak.time_overlap"]
        assert check.status == "fail" and check.rows.tolist() == [0] and "1 of 2" in check.message

    def test_a_row_is_its_user_its_item_and_its_time(self) -> None:
        train = [(1, 1, 1.0), (2, 2, 2.0)]
        for test, status in (
            ([(1, 1, 1.0), (3, 3, 9.0)], "fail"),
            ([(2, 1, 1.0), (3, 3, 9.0)], "pass"),  # another user
            ([(1, 2, 1.0), (3, 3, 9.0)], "pass"),  # another item
            ([(1, 1, 3.0), (3, 3, 9.0)], "pass"),  # another time
        ):
            check = self.parts(train, test)["leak.row_overlap"]
            assert check.status == status and check.evidence["rows"] == (status == "fail")
        report = self.parts(train, [(1, 1, 1.0), (3, 3, 9.0)])
        assert (
            report["leak.row_overlap"].rows.tolist() == [0] and "1 of 2" in report["leak.row_overlap"].message
        )

    def test_a_split_within_users(self) -> None:
        train = [(user, item, 10.0 * user + item) for user in range(1, 21) for item in range(1, 4)]
        test = [(user, 9, 10.0 * user + 5) for user in range(1, 21)]
        check = self.parts(train, test)["leak.per_user_split"]
        assert check.status == "fail"
        assert check.evidence == {"users_in_order": 1.0, "test_rows_before_train_end": 0.95}
        # Nineteen users in twenty are enough, eighteen are not.
        for n_late, status in ((1, "fail"), (2, "pass")):
            moved = [(user, 9, time - 8 if user <= n_late else time) for user, _, time in test]
            assert self.parts(train, moved)["leak.per_user_split"].status == status

    def test_two_users_and_a_twentieth_of_the_rows_are_needed(self) -> None:
        train = [(1, 1, 1.0), (2, 1, 100.0)]
        assert self.parts(train, [(1, 2, 5.0), (3, 2, 6.0)])["leak.per_user_split"].status == "pass"
        assert self.parts(train, [(1, 2, 5.0), (2, 2, 101.0)])["leak.per_user_split"].status == "fail"
        for n_after, status in ((19, "fail"), (20, "pass")):
            after = [(2, 100 + k, 200.0 + k) for k in range(n_after)]
            assert self.parts(train, [(1, 2, 5.0), *after])["leak.per_user_split"].status == status

    def test_vocabularies_must_agree(self) -> None:
        first, same = (log_of([1, 2], [1, 2], [1.0, 2.0]) for _ in range(2))
        assert detect_leakage(first, same)["leak.row_overlap"].status == "fail"
        for user, item in (([1, 3], [1, 2]), ([1, 2], [1, 3])):
            with pytest.raises(DataError, match="vocabularies"):
                detect_leakage(first, log_of(user, item, [1.0, 2.0]))

    def test_the_validation_part_is_the_test_part(self) -> None:
        train, later = rows({"x": np.zeros(4)}), rows({"x": np.zeros(4)}, now=np.full(4, NOW + 9))
        assert detect_leakage(replace(train, validation=later))["leak.time_overlap"].status == "pass"
        assert detect_leakage(replace(train, validation=train))["leak.row_overlap"].status == "fail"
        assert detect_leakage(train, train)["leak.row_overlap"].status == "fail"
        check = detect_leakage(train)["leak.row_overlap"]
        assert check.status == "not checked" and "test=" in check.hint


def test_report_names_features_once_in_order() -> None:
    label = np.arange(200) >= 100
    code = np.arange(200) + 1
    report = detect_leakage(rows({"x": code, "y": np.zeros(200)}, label, user=code))
    assert report.features == ("x",) and len(report.findings) == 2
    assert report.title == "Leakage in 200 rows"


def test_fit_looks_at_whole_groups_spread_over_the_rows() -> None:
    n = 45_000
    label = np.arange(n) % 10 == 0
    data = rows({"x": label + 0.0, "y": np.arange(n) % 7}, label, offsets=np.arange(0, n + 1, 10))
    found = leaking_features(replace(data, validation=data), log_of([1], [1], [1.0]))
    assert list(found) == ["x"] and "AUC 1.0000" in found["x"]


@pytest.mark.parametrize("rows", [None, "train", [1, 2], {"user_id": [1]}])
def test_what_has_no_rows_to_look_in_is_refused(rows):
    with pytest.raises(ConfigurationError, match="expected RankingData or a Dataset"):
        detect_leakage(rows)


def test_a_training_set_is_pointed_to_its_rows():
    data = toy_dataset()
    pipeline = Pipeline([candidates.Popular(), features.Standard(), rankers.LogisticRegression()])
    made = pipeline.training_data(data, label_window="7D")
    with pytest.raises(ConfigurationError, match=r"found a TrainingSet .* the rows are \.data"):
        detect_leakage(made)
    assert detect_leakage(made.data).checks
