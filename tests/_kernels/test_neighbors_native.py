"""Neighbours: the compiled row-wise product against scipy's, whole, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse import csr_matrix, random as random_sparse

from recokit._kernels import neighbors
from recokit._kernels.neighbors import Similarities
from recokit._native import library
from recokit.errors import ContractError

needs_kernels = pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")
seeds = st.integers(0, 2**32 - 1)


def random_matrix(rng, n, m):
    """Cells of small whole numbers, so that sums are exact and ties are many; some 0, NaN and infinite."""
    matrix = random_sparse(n, m, float(rng.choice([0.0, 0.1, 0.6])), "csr", np.float32, random_state=rng)
    matrix.data = rng.integers(-1, 4, matrix.nnz).astype(np.float32)
    matrix.data[rng.random(matrix.nnz) < 0.02] = rng.choice([np.nan, np.inf])
    if rng.integers(2):
        matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    return matrix


def random_similarities(rng):
    n, m = int(rng.choice([1, 2, 9, 40])), int(rng.choice([1, 5, 30]))
    sizes = [rng.integers(0, 5, n).astype(rng.choice([np.float32, np.float64])) for _ in range(2)]
    row_size, column_size = sizes if rng.integers(2) else (None, None)
    return Similarities(
        random_matrix(rng, n, m),
        random_matrix(rng, m, n),
        row_size,
        column_size,
        add_sizes=bool(rng.integers(2)),
        shrinkage=float(rng.choice([0.0, 2.0])),
        least=float(rng.choice([-np.inf, 2.0])),
    )


def neighbours_agree(seed):
    rng = np.random.default_rng(seed)
    similarities = random_similarities(rng)
    n = similarities.left.shape[0]
    start = int(rng.integers(0, n + 1))
    stop = int(rng.integers(start, n + 1))
    k = int(rng.choice([-1, 0, 1, 3, 100, 2**62]))
    found = similarities.nearest(start, stop, k)
    with pytest.MonkeyPatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setattr(neighbors, "kernels", lambda: None)
        want = similarities.nearest(start, stop, k)
    for ours, plain in zip(found, want, strict=True):
        np.testing.assert_array_equal(ours, plain)
        assert ours.dtype == plain.dtype


@needs_kernels
@settings(max_examples=100)
@given(seeds)
def test_neighbours_are_those_of_the_whole_product(seed):
    neighbours_agree(seed)


@needs_kernels
@pytest.mark.slow
@settings(max_examples=2_000)
@given(seeds)
def test_neighbours_are_those_of_the_whole_product_in_many_cases(seed):
    neighbours_agree(seed)


def test_rows_do_not_depend_on_how_they_are_cut():
    rng = np.random.default_rng(3)
    left = random_sparse(200, 50, 0.2, "csr", np.float32, random_state=rng)
    whole = Similarities(left, left.T.tocsr()).nearest(0, 200, 10)
    parts = [Similarities(left, left.T.tocsr()).nearest(i, i + 50, 10) for i in range(0, 200, 50)]
    for place in (1, 2):
        np.testing.assert_array_equal(whole[place], np.concatenate([part[place] for part in parts]))


def test_the_cost_of_a_row_is_its_number_of_products():
    left = csr_matrix(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]], np.float32))
    assert Similarities(left, left.T.tocsr()).costs().tolist() == [3.0, 2.0, 0.0]


def broken(change):
    matrix = csr_matrix(np.ones((3, 2), np.float32))
    change(matrix)
    return matrix


def test_matrices_whose_columns_are_outside_are_refused():
    fits = csr_matrix(np.ones((2, 3), np.float32))
    for change in (
        lambda matrix: matrix.indices.__setitem__(4, 2),
        lambda matrix: matrix.indices.__setitem__(0, -1),
        lambda matrix: matrix.indptr.__setitem__(1, 5),
        lambda matrix: matrix.indptr.__setitem__(3, 7),
        lambda matrix: matrix.indptr.__setitem__(0, 1),
        lambda matrix: setattr(matrix, "data", matrix.data[:5]),
    ):
        with pytest.raises(ContractError):
            Similarities(broken(change), fits)
        with pytest.raises(ContractError):
            Similarities(fits, broken(change))
    with pytest.raises(ContractError, match="expected one to fit the other"):
        Similarities(fits, fits)
    with pytest.raises(ContractError, match="a size for each row"):
        Similarities(fits, fits.T.tocsr(), np.ones(3))


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 4), (2, 1)])
def test_rows_outside_are_refused(start, stop):
    matrix = csr_matrix(np.ones((3, 2), np.float32))
    with pytest.raises(ContractError, match="rows"):
        Similarities(matrix, matrix.T.tocsr()).nearest(start, stop, 2)
