"""Vectors of two trainings in one array, by the baseline's vectors of the same items."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.debugger import CHECKS, SourceScan
from recokit.debugger.alignment import share_of_another_space
from recokit.debugger.checks.candidates import IndexHealth
from recokit.debugger.scan import Probes, Scan, scan_source
from tests.debugger.test_check_edges import seen

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(400, 12))


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 12)))[0]


def mixed(share: float, noise: float = 0.2) -> np.ndarray:
    """Return the vectors of another training, and of a third one for a share of them."""
    made = (VECTORS + noise * RANDOM.normal(size=VECTORS.shape)) @ rotation(1)
    n = int(share * len(made))
    made[:n] = made[:n] @ rotation(2)
    return made


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.45])
def test_the_share_of_another_training_is_found_whatever_the_rotation(share: float) -> None:
    # A vector of another rotation lies near its place by chance, now and then.
    assert share_of_another_space(mixed(share), VECTORS) == pytest.approx(share, abs=0.08)


def test_lengths_say_nothing() -> None:
    longer = mixed(0.0) * RANDOM.uniform(0.1, 10.0, (400, 1))
    assert share_of_another_space(longer, VECTORS) < 0.02


@pytest.mark.parametrize(
    "usual", [VECTORS[:399], VECTORS[:, :11], RANDOM.normal(size=VECTORS.shape), np.zeros_like(VECTORS)]
)
def test_what_does_not_compare_is_not_known(usual: np.ndarray) -> None:
    assert np.isnan(share_of_another_space(mixed(0.5), usual))


class Vectors:
    """A source of vectors that does not answer by history."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows_ = np.concatenate([np.zeros((1, rows.shape[1])), rows]).astype(np.float32)


@pytest.mark.parametrize(("share", "codes"), [(0.4, ["VERSIONS_MIXED"]), (0.0, [])])
def test_an_index_swapped_half_way_is_named(share: float, codes: list[str]) -> None:
    probes = Probes(np.array([1, 2]), now=0.0)
    scanned: SourceScan = scan_source(Vectors(mixed(share)), Vectors(VECTORS), probes)
    found = IndexHealth().look(seen(scan=Scan({"merge.one": scanned})))
    assert [(one.code, one.stage) for one in found] == [(code, "merge.one") for code in codes]
    assert any(isinstance(check, IndexHealth) for check in CHECKS)
    # Codes that mean other items here cannot be compared.
    other = scan_source(
        Vectors(mixed(share)), Vectors(VECTORS), Probes(np.array([1]), 0.0, codes=np.arange(401))
    )
    assert np.isnan(other.vectors[0].other_space)
