"""The Open Bandit Dataset: estimates equal the formulas, and hold what the other policy's own log says it is worth."""

from __future__ import annotations

import csv
import gzip
import io
import math

import numpy as np
import pytest

from benchmarks.off_policy import ROUND, bandit_log, formulas, obd
from recokit.off_policy import estimate, frequency_propensity


@pytest.fixture(scope="module", params=["all", "men"])
def directions(request, data_dir):
    return obd(data_dir / "obd", request.param)


def loops(rounds):
    """Return the definitions that Open Bandit Pipeline implements, round by round in plain Python."""
    n, limit = len(rounds.reward), math.sqrt(len(rounds.reward))
    rows = list(
        zip(
            *(
                getattr(rounds, name).tolist()
                for name in ("reward", "target", "propensity", "predicted", "expected")
            ),
            strict=True,
        )
    )

    def total(value):
        return math.fsum(value(r, t / p, q, v) for r, t, p, q, v in rows) / n

    weight = total(lambda r, w, q, v: w)
    return {
        "IPS": total(lambda r, w, q, v: w * r),
        "SNIPS": total(lambda r, w, q, v: w * r / weight),
        "ClippedIPS": total(lambda r, w, q, v: min(w, limit) * r),
        "DM": total(lambda r, w, q, v: v),
        "DR": total(lambda r, w, q, v: v + w * (r - q)),
        "SNDR": total(lambda r, w, q, v: v + w * (r - q) / weight),
        "SwitchDR": total(lambda r, w, q, v: v + (w if w <= limit else 0.0) * (r - q)),
        "DRos": total(lambda r, w, q, v: v + n * w / (w * w + n) * (r - q)),
    }


def test_estimates_equal_the_published_formulas(directions):
    for rounds, _ in directions.values():
        found = estimate(rounds, ROUND)
        wanted = loops(rounds)
        for name in ROUND:
            assert found[name].value == pytest.approx(wanted[name], abs=1e-9, rel=1e-9)
        assert formulas(rounds) == pytest.approx(wanted, abs=1e-12)


def test_intervals_hold_what_the_other_policy_earned(directions):
    for rounds, other in directions.values():
        for name, found in estimate(rounds, [name for name in ROUND if name != "DM"]).items():
            assert found.low < other < found.high, name


def test_the_log_is_read_as_it_is(data_dir):
    log = bandit_log(data_dir / "obd", "bts", "men")
    with gzip.open(data_dir / "obd" / "bts" / "men" / "men.csv.gz") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file)))
    assert len(log) == len(rows) == 10_000
    assert log.label.sum() == sum(int(row["click"]) for row in rows) == 69
    at = 4321
    assert log.item[at] == int(rows[at]["item_id"]) + 1
    assert log.propensity[at] == float(rows[at]["propensity_score"])
    assert log.position[at] == int(rows[at]["position"])


def test_estimated_propensities_of_the_random_policy_are_close_to_the_logged_ones(data_dir):
    log = bandit_log(data_dir / "obd", "random", "men")
    found = frequency_propensity(log.item)
    assert np.abs(found / log.propensity - 1).mean() < 0.06
