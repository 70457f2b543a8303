"""Half sweeps of factors: the compiled steps against the plain ones and the exact solution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse import csr_matrix, random as random_sparse

from recokit._kernels import als
from recokit._kernels.als import Descent
from recokit._native import library
from recokit.errors import ContractError

needs_kernels = pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")
seeds = st.integers(0, 2**32 - 1)


def random_descent(seed):
    rng = np.random.default_rng(seed)
    rows, n, d = (int(rng.choice(sizes)) for sizes in ([0, 1, 7, 20], [1, 5, 40], [1, 3, 16, 17, 40]))
    weight = random_sparse(rows, n, float(rng.choice([0.0, 0.2, 0.8])), "csr", np.float32, random_state=rng)
    weight.data *= 3
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    spread, ridge = rng.uniform(0.1, 2, d), rng.uniform(0.01, 2, rows)
    return rng, Descent(weight, vectors, spread=spread, ridge=ridge), weight, vectors, spread, ridge


def loss(x, weight, vectors, spread, ridge):
    """Half the quadratic form less the linear one, of each row: what the steps go down on."""
    x, along = x.astype(np.float64), x.astype(np.float64) @ vectors.T
    dense = weight.toarray().astype(np.float64)
    return 0.5 * ((spread + ridge[:, None]) * x**2).sum(axis=1) + (dense * (0.5 * along**2 - along)).sum(
        axis=1
    )


def steps_agree(seed):
    rng, descent, *system = random_descent(seed)
    start = rng.normal(size=(descent.weight.shape[0], descent.n_factors)).astype(np.float32)
    steps = int(rng.integers(0, 5))
    found = descent.moved(start, steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(als, "kernels", lambda: None)
        want = descent.moved(start, steps)
    # Where a system is nearly singular, rounding moves x along a flat valley: what counts is how low both come.
    before, low, plain_low = (loss(x, *system) for x in (start, found, want))
    assert (np.abs(low - plain_low) <= 1e-4 * (1 + np.abs(before))).all()
    if steps < 2:
        np.testing.assert_allclose(found, want, rtol=2e-3, atol=2e-4)
    assert found.dtype == want.dtype == np.float32
    parts = [descent.moved(start, steps, slice(i, i + 3)) for i in range(0, len(start), 3)]
    np.testing.assert_array_equal(np.concatenate([start[:0], *parts]), found)


@needs_kernels
@settings(max_examples=100)
@given(seeds)
def test_compiled_steps_are_the_plain_ones(seed):
    steps_agree(seed)


@needs_kernels
@pytest.mark.slow
@settings(max_examples=2_000)
@given(seeds)
def test_compiled_steps_are_the_plain_ones_in_many_cases(seed):
    steps_agree(seed)


@pytest.mark.parametrize("seed", range(8))
def test_many_steps_come_to_the_solution(seed):
    _, descent, weight, vectors, spread, ridge = random_descent(seed)
    found = descent.moved(np.zeros((weight.shape[0], vectors.shape[1]), np.float32), 200)
    dense = weight.toarray().astype(np.float64)
    for row in range(len(dense)):
        system = np.diag(spread + ridge[row]) + vectors.T @ (dense[row][:, None] * vectors)
        want = np.linalg.solve(system, vectors.T @ dense[row])
        np.testing.assert_allclose(found[row], want, rtol=1e-3, atol=1e-3)


def test_shapes_that_do_not_fit_and_columns_outside_are_refused():
    weight, vectors = csr_matrix(np.ones((2, 3), np.float32)), np.ones((3, 4), np.float32)
    fits = {"spread": np.ones(4), "ridge": np.ones(2)}
    Descent(weight, vectors, **fits)
    for bad in ({"spread": np.ones(3)}, {"ridge": np.ones(3)}):
        with pytest.raises(ContractError, match="expected"):
            Descent(weight, vectors, **{**fits, **bad})
    with pytest.raises(ContractError, match="expected"):
        Descent(weight, vectors[:2], **fits)
    weight.indices[3] = 3
    with pytest.raises(ContractError, match="columns 0 to 3"):
        Descent(weight, vectors, **fits)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_stay_in_their_rows(bad):
    weight = csr_matrix(np.array([[1, bad, 0], [0, 0, 1]], np.float32))
    descent = Descent(weight, np.eye(3, 4, dtype=np.float32), spread=np.ones(4), ridge=np.ones(2))
    start = np.zeros((2, 4), np.float32)
    start.flags.writeable = False
    with np.errstate(invalid="ignore", over="ignore"):
        assert descent.moved(start, 3)[1].tolist() == pytest.approx([0, 0, 1 / 3, 0])
