"""Several recommenders against one, and evaluations in files, tables and plots."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.errors import ConfigurationError, DataError
from recokit.evaluation import Evaluation, Evaluations, compare, compare_all
from recokit.evaluation.comparison import holm
from tests.evaluation.made import evaluation


@pytest.fixture(scope="module")
def three():
    rng = np.random.default_rng(0)
    base = np.where(rng.random(3000) < 0.3, rng.beta(1, 3, 3000), 0.0)
    better = np.where(rng.random(3000) < 0.1, np.maximum(base, rng.beta(1, 2, 3000)), base)
    same = np.where(rng.random(3000) < 0.1, rng.permutation(base), base)
    parts = {"base": base, "better": better, "same": same}
    return Evaluations({name: evaluation(name, values) for name, values in parts.items()})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_procedure(p_values):
    adjusted = holm(p_values)
    for alpha in (0.01, 0.05, 0.3):
        rejected, left = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
        for step, i in enumerate(left):
            if p_values[i] * (len(p_values) - step) > alpha:
                break
            rejected.add(i)
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected


def test_a_test_that_could_not_be_made_counts_but_has_no_p_value():
    adjusted = holm([0.02, np.nan])
    assert adjusted[0] == pytest.approx(0.04)
    assert np.isnan(adjusted[1])


def test_several_against_one(three):
    found = three.compare_all("base")
    assert [difference.a for difference in found.differences] == ["better", "same"]
    assert (found.better("better", "NDCG@10"), found.better("same", "NDCG@10")) == (True, None)
    alone = three.compare("better", "base", "NDCG@10")
    assert found.differences[0] == alone
    assert found.adjusted[0] == pytest.approx(2 * alone.p_value)
    assert found.detectable[0] > alone.detectable  # the corrected test needs more
    title, *lines = str(found).splitlines()
    assert title == "Comparison with base"
    assert lines[0].split() == [
        "name",
        "metric",
        "less",
        "base",
        "users",
        "p",
        "(Holm)",
        "detectable",
        "verdict",
    ]
    assert lines[1].endswith("better")
    assert lines[2].endswith("cannot tell")
    assert "2 tests at 5% together (Holm)" in lines[3]
    assert found.to_markdown().splitlines()[3] == "|" + " --- |" * 7
    assert "better" in found._repr_html_()
    records = json.loads(json.dumps(found.to_dict(), allow_nan=False))["differences"]
    assert records[0]["p_adjusted"] == pytest.approx(found.adjusted[0])
    with pytest.raises(ConfigurationError, match="known: better by NDCG@10, same by NDCG@10"):
        found.better("best", "NDCG@10")


def test_worse_is_said_too(three):
    assert three.compare_all("better").better("base", "NDCG@10") is False


def test_twenty_harmless_changes_are_rarely_called_better():
    rng = np.random.default_rng(1)
    wrong, naive = [], []
    for _ in range(60):
        base = evaluation("base", rng.random(300))
        others = [evaluation(f"try {i}", rng.random(300)) for i in range(20)]
        found = compare_all(base, others)
        wrong.append(any(p < 0.05 for p in found.adjusted))
        naive.append(any(difference.clear for difference in found.differences))
    assert np.mean(wrong) <= 0.12 < np.mean(naive)


def test_what_cannot_be_compared(three):
    with pytest.raises(ConfigurationError, match="at least one of each"):
        compare_all(three["base"], [])
    with pytest.raises(ConfigurationError, match="each name once"):
        compare_all(three["base"], [three["same"], three["same"]])
    with pytest.raises(ConfigurationError, match="power=1"):
        three.compare_all("base", power=1)


def test_few_users_are_marked_everywhere(three):
    few = evaluation("few", np.linspace(0, 1, 199))
    assert few["NDCG@10"].few
    assert not three["base"]["NDCG@10"].few
    assert "]*" in str(few)
    assert "* below 200 users" in str(few)
    assert "* below" not in str(three["base"])
    assert few.to_records()[0]["few"] is True
    both = Evaluations({"few": few, "other": evaluation("other", np.linspace(0, 1, 199) ** 2)})
    assert "* below 200 users" in str(both)
    assert "199 users, which is few" in str(both.compare("few", "other", "NDCG@10"))
    assert "]*" in str(both.compare_all("few"))


def test_many_users_of_whom_hardly_any_differ_are_few_too(three):
    values = np.zeros(5000)
    values[:14] = 0.5
    assert evaluation("rare", values)["NDCG@10"].few
    values[14] = 1
    rare = evaluation("rare", values)
    assert not rare["NDCG@10"].few
    assert not compare(rare, evaluation("none", np.zeros(5000)), "NDCG@10").few
    values[:] = 1.0
    values[:10] = 0.9
    assert evaluation("full", values)["NDCG@10"].few


def test_markdown(three):
    text = three["base"].to_markdown()
    assert text.splitlines()[2:4] == ["| segment | users | NDCG@10 |", "| --- | --- | --- |"]
    assert "- NDCG@10: what NDCG@10 is" in text
    assert [line.split(" | ")[0] for line in three.to_markdown().splitlines()[4:7]] == [
        "| base",
        "| better",
        "| same",
    ]


def test_plots(three):
    ax = three.plot("NDCG@10")
    assert ax.get_xlabel() == "NDCG@10, mean and 95% interval"
    assert len(ax.containers) == 3
    assert three["base"].plot("NDCG@10", ax=ax) is ax


@pytest.mark.parametrize("users", [None, [f"ü{i}" for i in range(40)]])
def test_a_saved_evaluation_is_the_same(tmp_path, users):
    rng = np.random.default_rng(4)
    values = rng.random((40, 2)).astype(np.float32)
    values[3] = np.nan
    before = evaluation(
        "base",
        values,
        segment=rng.integers(0, 3, 40),
        segments=("all", "a", "b"),
        metrics=("NDCG@10", "MAP@10"),
        users=users,
        now=None,
    )
    before.save(tmp_path / "base.json")
    after = Evaluation.load(tmp_path / "base.json")
    assert after.users == before.users
    np.testing.assert_array_equal(after.per_user, before.per_user)
    np.testing.assert_array_equal(after.segment, before.segment)
    assert after.to_dict() == before.to_dict()
    assert after.fingerprint == before.fingerprint
    assert str(after) == str(before)


def test_fingerprints_tell_what_is_comparable(three):
    base = three["base"]
    values = base.per_user
    assert three["better"].fingerprint == base.fingerprint
    assert evaluation("base", values[:-1]).fingerprint != base.fingerprint
    assert evaluation("base", values, now=2.0).fingerprint != base.fingerprint
    assert evaluation("base", values, k=20).fingerprint != base.fingerprint
    assert evaluation("base", values, metrics=("MAP@10",)).fingerprint != base.fingerprint


def test_files_that_are_not_evaluations(tmp_path, three):
    path = tmp_path / "x.json"
    three["base"].save(path)
    text = path.read_text()
    path.write_text(text.replace('"k":10', '"k":11'))
    with pytest.raises(DataError, match="changed since it was saved"):
        Evaluation.load(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="of another kind"):
        Evaluation.load(path)
    path.write_text("nothing")
    with pytest.raises(DataError, match="not JSON"):
        Evaluation.load(path)
