"""Errors: whom they can be caught as, what they say, and that they cross processes."""

import copy
import pickle

import numpy as np

from recokit import errors
from recokit.errors import (
    ConfigurationError,
    ContractError,
    DataError,
    SourceTimeout,
    StageError,
    did_you_mean,
)


def test_every_error_can_be_caught_as_recokits_and_as_pythons():
    assert issubclass(errors.VocabularyMismatch, DataError)
    for kind, builtin in (
        (ConfigurationError, ValueError),
        (ContractError, TypeError),
        (DataError, ValueError),
        (errors.NotFittedError, RuntimeError),
        (StageError, RuntimeError),
        (errors.Unavailable, RuntimeError),
    ):
        assert issubclass(kind, errors.RecokitError)
        assert issubclass(kind, builtin)


def test_data_errors_show_the_first_rows():
    error = DataError("found x", rows=np.arange(7))
    assert str(error) == "found x (rows 0, 1, 2, 3, 4, ...)"
    assert error.rows == tuple(range(7))
    assert str(DataError("found x")) == "found x"
    assert str(DataError("found x", rows=(i for i in [4]))) == "found x (rows 4)"


def test_errors_cross_processes():
    error = SourceTimeout("late", name="merge.ann", role="source", cause=ValueError("x"))
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is SourceTimeout
        assert (str(same), same.name, same.role, repr(same.cause)) == (
            "late",
            "merge.ann",
            "source",
            "ValueError('x')",
        )
    bad = pickle.loads(pickle.dumps(DataError("found x", rows=[4])))
    assert (str(bad), bad.rows) == ("found x (rows 4)", (4,))


def test_when_to_ask_again_crosses_processes():
    for kind in (errors.Overloaded, errors.NotReady):
        same = pickle.loads(pickle.dumps(kind("full", retry_after=0.4)))
        assert (type(same), str(same), same.retry_after) == (kind, "full", 0.4)
        assert isinstance(same, errors.Unavailable)


def test_did_you_mean():
    assert did_you_mean("sellr", ["seller", "price"]) == "did you mean 'seller'?"
    assert did_you_mean("zzz", ["b", "a", "a"]) == "known names: a, b"
    assert did_you_mean("zzz", []) == "none is known here"
    assert did_you_mean("zzz", map(str, range(100))).endswith(", ...")
    assert did_you_mean("zzz", [1, "a"]) == "known names: 1, a"
