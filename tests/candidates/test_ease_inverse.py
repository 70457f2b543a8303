"""The inverse behind EASE, made block by block."""

import numpy as np
import pytest

from recokit.candidates.ease import _invert
from recokit.errors import DataError


@pytest.mark.parametrize("n", [1, 5, 64, 257])
@pytest.mark.parametrize("block", [1, 16, 64, 1000])
def test_it_is_the_inverse_whatever_the_blocks(n, block):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    matrix = (root @ root.T + n * np.eye(n)).astype(np.float32)
    expected = np.linalg.inv(matrix.astype(np.float64))
    _invert(matrix, block)
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(matrix, matrix.T)


def test_a_matrix_that_is_not_positive_definite_is_named():
    with pytest.raises(DataError, match="raise regularization"):
        _invert(np.array([[1.0, 2.0], [2.0, 1.0]], np.float32), 1)
