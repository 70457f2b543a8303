"""Findings over many users: their weight, whom they concern, and the rare slow run that is left out."""

from __future__ import annotations

from typing import Any

import pytest

from recokit.debugger import Diagnosis, Finding, PopulationDiagnosis, Severity


def one(code: str, severity: Severity = Severity.WARNING, stage: str = "s", **parts: Any) -> Finding:
    return Finding(code, severity, stage, f"{code} at {stage}", "mend it", "list", "data", **parts)


def of(*users: tuple[Finding, ...], segments: Any = None, timed: Any = None) -> PopulationDiagnosis:
    timed = [True] * len(users) if timed is None else timed
    diagnoses = [
        Diagnosis(i, found, {}, (), timed=is_timed)
        for (i, found), is_timed in zip(enumerate(users), timed, strict=True)
    ]
    return PopulationDiagnosis(tuple(diagnoses), segments or {})


def names(found: PopulationDiagnosis) -> list[str]:
    return [finding.code for finding in found.findings]


def test_the_weightiest_finding_comes_first() -> None:
    a, b = one("A"), one("B")
    assert names(of((a,), (a,), (b,))) == ["A", "B"]
    # A critical weighs as much as 4/3 warnings, a second place half.
    assert names(of((a,), (one("B", Severity.CRITICAL),))) == ["B", "A"]
    assert names(of((a, b), (b,), (a,))) == ["A", "B"]
    assert names(of((b, a), (a, b), (b,))) == ["B", "A"]
    assert names(of((b,), (a,))) == ["A", "B"]  # equal weights: by name
    assert names(of((one("NOTE", Severity.NOTE),))) == []


def test_evidence_is_that_of_the_first_user_who_has_it_worst() -> None:
    mild, bad = one("A", evidence={"n": 1}), one("A", Severity.CRITICAL, evidence={"n": 2})
    (found,) = of((mild,), (bad,), (one("A", Severity.CRITICAL, evidence={"n": 3}),), ()).findings
    assert found.severity == Severity.CRITICAL
    assert found.evidence == {"n": 2, "users": 3, "share_of_users": 0.75} and found.scope == "some"


def test_the_same_code_at_two_stages_is_two_findings_and_counts_once_a_user() -> None:
    found = of((one("A", stage="x"), one("A", stage="y"), one("A", stage="x")), (one("A", stage="y"),))
    assert [(each.stage, each.evidence["users"]) for each in found.findings] == [("y", 2), ("x", 1)]
    assert found.scope("A") == "everyone"


@pytest.mark.parametrize(("n_ill", "scope"), [(4, "everyone"), (3, "some"), (0, "no one")])
def test_four_fifths_are_everyone(n_ill: int, scope: str) -> None:
    assert of(*[(one("A"),)] * n_ill, *[()] * (5 - n_ill)).scope("A") == scope


def test_a_slow_stage_is_counted_among_the_timed_and_left_out_where_rare() -> None:
    slow = one("STAGE_SLOW")
    timed = [True, True, True, False, False]
    assert of((slow,), (slow,), (slow,), (), (), timed=timed).findings[0].scope == "everyone"
    (found,) = of((slow,), (), (), (), (), timed=timed).findings
    assert found.evidence["share_of_users"] == pytest.approx(1 / 3) and found.evidence["users"] == 1
    # A third of the runs timed weighs 1; of four, one run is rare.
    assert of((slow,), (), (), (), timed=[True] * 4).findings == ()
    assert of((one("STAGE_SLOW", Severity.CRITICAL),), (), (), (), timed=[True] * 4).verdict == "STAGE_SLOW"


@pytest.mark.parametrize(
    ("inside", "outside", "scope"), [(15, 0, "c=NL"), (14, 0, "some"), (20, 20, "c=NL"), (20, 26, "some")]
)
def test_half_of_a_segment_and_a_quarter_more_than_elsewhere_carry_a_finding(
    inside: int, outside: int, scope: str
) -> None:
    ill, well = (one("A"),), ()
    users = [*[ill] * inside, *[well] * (30 - inside), *[ill] * outside, *[well] * (60 - outside)]
    found = of(*users, segments={"c": ("NL",) * 30 + ("",) * 60})
    assert found.scope("A") == scope
    evidence = found.findings[0].evidence
    assert ("inside" in evidence) == (scope == "c=NL")
    if scope == "c=NL":
        assert (evidence["inside"], evidence["elsewhere"]) == (inside / 30, outside / 60) and evidence[
            "p_value"
        ] < 0.05


def test_verdicts_are_counted_by_segment() -> None:
    found = of((one("A"),), (), (one("A"),), segments={"c": ("NL", "DE", ""), "": ("x", "", "")})
    assert found.counts() == {
        "all": {"A": 2, "NO_OBVIOUS_ISSUE": 1}, "c=NL": {"A": 1}, "x": {"A": 1}, "c=DE": {"NO_OBVIOUS_ISSUE": 1},
    }  # fmt: skip
    assert (found.verdict, found.stage, found.action) == ("A", "s", "mend it")
    assert (of(()).verdict, of(()).stage, of(()).action) == (
        "NO_OBVIOUS_ISSUE",
        "",
        "Nothing: no check found a cause.",
    )
    assert found.to_dict()["scope"] == {"A": "some"} and found.to_dict()["users"] == 3


def test_a_slow_stage_has_the_scope_of_those_timed() -> None:
    slow = one("STAGE_SLOW")
    channel = ["app", "web"] * 20
    users = [(slow,) if label == "app" else () for label in channel]
    found = of(
        *users, *[()] * 20, segments={"channel": channel + ["app"] * 20}, timed=[True] * 40 + [False] * 20
    )
    assert found.findings[0].scope == "channel=app"
    assert found.findings[0].evidence["share_of_users"] == 0.5
