"""Rules for options: the values on both sides of each edge, and the wording of errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from recokit._utils.options import (
    above,
    at_least,
    between,
    check_options,
    finite,
    identifier,
    one_of,
    optional,
    require,
    share,
    whole,
)
from recokit.errors import ConfigurationError, DataError

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("make", "good", "bad", "expected"),
    [
        (lambda: at_least(2), [2, 2.5, INF, np.float32(2)], [1.99, -INF, NAN, True, "2", None], "at least 2"),
        (
            lambda: whole(2),
            [2, 3, np.int64(2), 10**30],
            [1, 2.0, True, "2", None],
            "a whole number of at least 2",
        ),
        (lambda: whole(2, 4), [2, 4], [1, 5], "a whole number from 2 to 4"),
        (lambda: whole(0), [0], [False], "a whole number of at least 0"),
        (lambda: above(0), [1e-9, 5], [0, -1, INF, NAN, True], "a finite number above 0"),
        (lambda: between(0, 1), [0, 1, 0.5], [-0.1, 1.1, NAN, True], "a number of at least 0 and at most 1"),
        (lambda: between(0, 1, open_low=True), [0.1, 1], [0], "a number above 0 and at most 1"),
        (lambda: between(0, 1, open_high=True), [0, 0.9], [1], "a number of at least 0 and below 1"),
        (lambda: finite(), [0, -5.5], [INF, -INF, NAN, True], "a finite number"),
        (lambda: finite(3), [3], [2.9, INF], "a finite number of at least 3"),
        (lambda: share, [0.1, 0.9], [0, 1], "a number above 0 and below 1"),
        (lambda: one_of("a"), ["a"], ["b", 1, None], "'a'"),
        (lambda: one_of("a", "b", "c"), ["a", "c"], ["d"], "'a', 'b' or 'c'"),
        (lambda: optional(whole(1)), [None, 1], [0, "x"], "a whole number of at least 1, or None"),
        (
            lambda: identifier("new_year"),
            ["new_year"],
            ["new year", "", 3],
            "an identifier such as 'new_year'",
        ),
    ],
)
def test_a_rule_holds_up_to_its_edges(make, good, bad, expected):
    rule = make()
    assert rule.expected == expected
    assert [value for value in good if not rule.holds(value)] == []
    assert [value for value in bad if rule.holds(value)] == []


def test_the_error_names_option_value_expectation_and_hint():
    with pytest.raises(ConfigurationError) as error:
        whole(1, hint="one is enough").check("k", np.int64(0))
    assert str(error.value) == "found k=0; expected a whole number of at least 1; hint: one is enough"
    with pytest.raises(DataError, match=r"^found k=-1; expected at least 0$"):
        at_least(0).check("k", -1, DataError)
    for rule in (at_least(1, "h"), above(1, "h"), between(1, 2, hint="h"), finite(1, "h")):
        with pytest.raises(ConfigurationError, match=r"; hint: h$"):
            rule.check("x", 0)
    with pytest.raises(ConfigurationError, match=r"found x=0; expected a finite number above 1$"):
        above(1).check("x", 0)


def test_a_long_value_is_cut():
    with pytest.raises(ConfigurationError) as error:
        whole(1).check("k", "x" * 78)  # with its quotes, as long as may be
    assert repr("x" * 78) in str(error.value)
    with pytest.raises(ConfigurationError) as error:
        whole(1).check("k", "x" * 79)
    assert "..." in str(error.value) and "x" * 77 not in str(error.value)


def test_a_near_miss_of_a_name_is_suggested():
    with pytest.raises(ConfigurationError, match="did you mean 'cosine'"):
        one_of("cosine", "dot").check("metric", "cosin")
    with pytest.raises(ConfigurationError, match=r"found metric='zzz'; expected 'cosine' or 'dot'$"):
        one_of("cosine", "dot").check("metric", "zzz")
    with pytest.raises(ConfigurationError, match=r"found metric=3; expected 'cosine' or 'dot'$"):
        one_of("cosine", "dot").check("metric", 3)
    with pytest.raises(ConfigurationError, match="did you mean 'cosine'"):
        optional(one_of("cosine", "dot")).check("metric", "cosin")


def test_options_and_arguments_are_checked_each():
    rules = {"a": whole(1), "b": share}
    check_options(SimpleNamespace(a=1, b=0.5), rules)
    with pytest.raises(ConfigurationError, match=r"found b=1\.0"):
        check_options(SimpleNamespace(a=1, b=1.0), rules)
    require(whole(1), a=1, b=2)
    with pytest.raises(ConfigurationError, match="found b=0"):
        require(whole(1), a=1, b=0)
