"""Hashes: even, independent of each other, the same for 42 and "42", and GrowthBook's where asked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recokit.errors import ConfigurationError, DataError
from recokit.experiments import GrowthBook, KeyedHash
from recokit.experiments.hashing import unit_names

#: The hash cases of GrowthBook's public specification: seed, value, version, expected.
PUBLISHED = [
    ("", "a", 1, 0.22),
    ("", "b", 1, 0.077),
    ("b", "a", 1, 0.946),
    ("ef", "d", 1, 0.652),
    ("asdf", "8952klfjas09ujk", 1, 0.549),
    ("", "123", 1, 0.011),
    ("", '___)((*":&', 1, 0.563),
    ("seed", "a", 2, 0.0505),
    ("seed", "b", 2, 0.2696),
    ("foo", "ab", 2, 0.2575),
    ("foo", "def", 2, 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 2, 0.124),
    ("90850943850283058242805", "123", 2, 0.7516),
    ("()**(%$##$%#$#", '___)((*":&', 2, 0.0128),
]


@pytest.mark.parametrize(("seed", "value", "version", "expected"), PUBLISHED)
def test_growthbooks_published_cases(seed: str, value: str, version: int, expected: float) -> None:
    hashing = GrowthBook(version=version)
    assert hashing.shares([value], seed).tolist() == [expected]
    # A batch is hashed by columns of bytes, beside texts of other lengths.
    batch = hashing.shares([value, "x", value + "longer"] * 20, seed)
    assert (batch[::3] == expected).all()


def test_growthbooks_last_case_a_version_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="99"):
        GrowthBook(version=99)


def test_growthbooks_seed_takes_the_place_of_the_name() -> None:
    assert GrowthBook(seed="seed").shares(["a"], "any name").tolist() == [0.0505]


def test_texts_beyond_ascii_are_hashed_as_utf8_alone_and_in_a_batch() -> None:
    alone = GrowthBook().shares(["zürich"], "s")
    assert (GrowthBook().shares(["zürich", "東京"] * 20, "s")[::2] == alone).all()


def chi_square(n_units: int, n_salts: int, n_buckets: int) -> list[float]:
    units = [f"user-{i}" for i in range(n_units)]
    found = []
    for salt in range(n_salts):
        bucket = (KeyedHash().shares(units, f"salt-{salt}") * n_buckets).astype(np.int64)
        counts = np.bincount(bucket, minlength=n_buckets)
        assert len(counts) == n_buckets
        found.append(float(stats.chisquare(counts).pvalue))
    return found


def test_units_fall_evenly() -> None:
    assert min(chi_square(20_000, 5, 20_000)) > 0.001


@pytest.mark.slow
def test_a_million_units_fall_evenly_into_a_million_buckets_for_twenty_salts() -> None:
    assert min(chi_square(1_000_000, 20, 1_000_000)) > 0.001


def test_salts_are_independent() -> None:
    units = [f"user-{i}" for i in range(40_000)]
    one, other = (KeyedHash().shares(units, salt) for salt in ("home", "search"))
    table = np.histogram2d(one, other, bins=20)[0]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_the_hash_is_keyed_blake2b_which_anybody_can_compute() -> None:
    import hashlib

    key = hashlib.blake2b(b"ranker-7", digest_size=32).digest()
    word = int.from_bytes(hashlib.blake2b(b"user-1", key=key, digest_size=8).digest(), "little")
    assert KeyedHash().shares(["user-1"], "ranker-7")[0] == (word >> 11) / 2**53


def test_an_integer_and_its_text_are_one_unit() -> None:
    assert unit_names([42, "42"]) == unit_names(np.array([42, 42])) == ["42", "42"]


@pytest.mark.parametrize("unit", [42.0, True, None, b"42"], ids=["float", "bool", "none", "bytes"])
def test_other_types_are_refused_with_their_row(unit: object) -> None:
    with pytest.raises(DataError, match="integer or text") as error:
        unit_names(["a", unit])
    assert error.value.rows == (1,)
