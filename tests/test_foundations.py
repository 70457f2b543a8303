"""Errors, configuration, times, progress, HTML."""

import copy
import datetime as dt
import pickle

import numpy as np
import pandas as pd
import pytest

from recokit import errors
from recokit._utils.params import Configured, clone, get_params
from recokit._utils.progress import progress_bar
from recokit._utils.report import page, table, text
from recokit.data import Live, seconds, timestamp
from recokit.errors import (
    ConfigurationError,
    ContractError,
    DataError,
    SourceTimeout,
    StageError,
    did_you_mean,
)


class Inner(Configured):
    def __init__(self, size=3):
        self.size = size

    def fit(self, dataset):
        self.fitted_ = True
        return self


class Outer(Configured):
    def __init__(self, inner, *, weights=None, parts=(), by_name=None, live=None):
        self.inner, self.weights, self.parts, self.by_name, self.live = inner, weights, parts, by_name, live


# -- errors ----------------------------------------------------------------------------------------


def test_every_error_can_be_caught_as_recokits_and_as_pythons():
    assert issubclass(errors.VocabularyMismatch, DataError)
    for kind, builtin in (
        (ConfigurationError, ValueError),
        (ContractError, TypeError),
        (DataError, ValueError),
        (errors.NotFittedError, RuntimeError),
        (StageError, RuntimeError),
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


def test_did_you_mean():
    assert did_you_mean("sellr", ["seller", "price"]) == "did you mean 'seller'?"
    assert did_you_mean("zzz", ["b", "a", "a"]) == "known names: a, b"
    assert did_you_mean("zzz", []) == "none is known here"
    assert did_you_mean("zzz", map(str, range(100))).endswith(", ...")
    assert did_you_mean("zzz", [1, "a"]) == "known names: 1, a"


# -- configuration ---------------------------------------------------------------------------------


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Inner()) == "Inner()"
    assert repr(Inner(4)) == "Inner(4)"
    assert repr(Outer(Inner(), weights=np.zeros(9))) == "Outer(Inner(), weights=array((9,), float64))"
    assert repr(Outer("x" * 100)).endswith("...)")


def test_clone_copies_options_and_nested_stages_but_nothing_fitted():
    inner = Inner(4).fit(None)
    weights, live = np.zeros(2), Live(1)
    outer = Outer(inner, weights=weights, parts=(inner, "a"), by_name={"x": [inner]}, live=live)
    copied = clone(outer)
    assert copied.weights is weights
    assert copied.live is live
    for nested in (copied.inner, copied.parts[0], copied.by_name["x"][0]):
        assert nested is not inner
        assert nested.size == 4
        assert not hasattr(nested, "fitted_")
    assert copied.parts[1] == "a"


def test_clone_reaches_stages_inside_wrappers():
    wrapped = clone(Outer(Outer(Inner().fit(None))))
    assert not hasattr(wrapped.inner.inner, "fitted_")


def test_clone_leaves_classes_alone():
    assert clone(Outer(Inner)).inner is Inner


def test_get_params_needs_options_under_their_names():
    class Hides:
        def __init__(self, size, *args, **kwargs):
            self._size = size

    with pytest.raises(ConfigurationError, match="does not store its option 'size'"):
        get_params(Hides(1))

    class Takes:
        def __init__(self, *args, **kwargs): ...

    assert get_params(Takes(1, a=2)) == {}


# -- times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7D", 604800),
        ("1.5h", 5400),
        (" 30 min ", 1800),
        ("2w", 1209600),
        ("10s", 10),
        (".5d", 43200),
        (60, 60),
        (0.5, 0.5),
        (dt.timedelta(hours=1), 3600),
        (np.timedelta64(7, "D"), 604800),
        (pd.Timedelta("1D"), 86400),
        (np.float32(2), 2),
    ],
)
def test_seconds(given, expected):
    assert seconds(given) == expected


@pytest.mark.parametrize(
    "given",
    ["7", "D", "7 days", "1.2.3D", "-7D", "", 0, -1, np.nan, np.inf, None, [7], np.timedelta64("NaT"), "0D"],
)
def test_bad_durations(given):
    with pytest.raises(DataError, match="found duration"):
        seconds(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2017-12-01", 1512086400),
        ("2017-12-01T02:00:00+02:00", 1512086400),
        (1512086400, 1512086400),
        (dt.datetime(2017, 12, 1), 1512086400),
        (dt.datetime(2017, 12, 1, tzinfo=dt.UTC), 1512086400),
        (dt.date(2017, 12, 1), 1512086400),
        (np.datetime64("2017-12-01"), 1512086400),
        (np.datetime64("2017-12-01T00:00:00.5"), 1512086400.5),
        (pd.Timestamp("2017-12-01"), 1512086400),
        (-5.0, -5),
        (np.int64(3), 3),
    ],
)
def test_timestamp(given, expected):
    assert timestamp(given) == expected
    assert type(timestamp(given)) is float


@pytest.mark.parametrize("given", ["yesterday", "", np.nan, np.inf, None, np.datetime64("NaT"), pd.NaT])
def test_bad_moments(given):
    with pytest.raises(DataError, match="found time"):
        timestamp(given)


# -- progress and HTML -----------------------------------------------------------------------------


def test_progress_bar_changes_nothing_but_the_screen(capsys):
    steps = [1, 2, 3]
    assert progress_bar(steps, show=False, label="fit") is steps
    assert capsys.readouterr().err == ""
    assert list(progress_bar(iter(steps), show=True, label="fit", total=3)) == steps
    assert "fit" in capsys.readouterr().err


def test_html_escapes_what_it_is_given():
    html = page("<title>", table(["<h>"], [["<cell>", 1], [None, '"']]), note="<note>")
    for raw in ("<title>", "<h>", "<cell>", "<note>"):
        assert raw not in html
        assert text(raw) in html
    assert "<td>None</td>" in html
    assert "<script" not in html
    assert "http" not in html
    assert "<small>" not in page("t", "b")
