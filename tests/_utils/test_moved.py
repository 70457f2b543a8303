"""Names that moved: each old one gives today's object and says once what to write."""

from __future__ import annotations

import importlib
import inspect
import warnings

import numpy as np
import pytest

from recokit import LiveEvents, compose, features, metrics, off_policy, rules, slates
from recokit._utils.moved import MOVED, renamed
from recokit._utils.params import clone
from recokit.data import Ragged, Requests
from recokit.data.events.user_history import EventLists, UserHistory
from recokit.metrics import MatchedLists

#: Public names of the release before this one that are not where they were, as a comparison of every package's
#: ``__all__`` found them. A name leaves this list with its entry in ``MOVED``, one release after it moved.
GONE = {
    "recokit": "checklist",
    "recokit.candidates.ann": "AnnIndex",
    "recokit.checklist": "CHECKLIST PreflightLimits PreflightReport preflight",
    "recokit.compose": "Composed FirstOf Merge check_retrieved first_allowed fuse leaf_name leaves retrieve_allowed "
    "snake_case",
    "recokit.data.events": "AsOf EventIndex KeyedEvents Keyspace Known Moments",
    "recokit.data.state": "from_state load_state save_state to_state",
    "recokit.data.validation": "ValidationLimits ValidationReport validate",
    "recokit.debugger": "Watch localise",
    "recokit.metrics": "Judged",
    "recokit.monitoring": "Metric Tally",
    "recokit.monitoring.alerts": "Alert AlertRule Alerts Reading",
    "recokit.monitoring.drift": "DriftLimits DriftMonitor DriftReport",
    "recokit.monitoring.feature_log": "FeatureLog",
    "recokit.training": "Clicks ImpressionLog ImpressionReport ImpressionSet PopularityFront PositionBias "
    "PositionModel SearchResult Trial UnbiasedSet WeightReport doubly_robust impression_rows intervention_harvest "
    "inverse_propensity popularity_front propensity_from_swaps search",
}
OLD_NAMES = [(module, name) for module, names in GONE.items() for name in names.split()]


def test_every_name_that_is_gone_has_a_new_one_and_no_other_does() -> None:
    assert sorted(f"{module}.{name}" for module, name in OLD_NAMES) == sorted(MOVED)


@pytest.mark.parametrize(("module", "name"), OLD_NAMES)
def test_an_old_name_is_the_new_object_and_says_what_to_write(module: str, name: str) -> None:
    new = MOVED[f"{module}.{name}"]
    with pytest.warns(DeprecationWarning, match="has moved") as heard:
        value = getattr(importlib.import_module(module), name)

    home, _, attribute = new.rpartition(".")
    assert value is getattr(importlib.import_module(home), attribute)
    assert len(heard) == 1
    assert heard[0].filename == __file__, "the warning names the line that uses the old name"
    assert f"{module}.{name} has moved; write {new}" in str(heard[0].message)


@pytest.mark.parametrize("package", ["recokit", "recokit.training", "recokit.compose", "recokit.checklist"])
def test_a_name_that_never_was_is_an_attribute_error_without_a_warning(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = importlib.import_module(package).nothing


def test_no_new_name_is_an_old_one() -> None:
    """Whoever follows a warning is not warned again."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for new in MOVED.values():
            home, _, attribute = new.rpartition(".")
            getattr(importlib.import_module(home), attribute)


@pytest.mark.parametrize(
    ("line", "old_name"),
    [
        ("from recokit.checklist import preflight", "recokit.checklist.preflight"),
        ("from recokit.training import search", "recokit.training.search"),
        ("from recokit.compose import Merge", "recokit.compose.Merge"),
        ("import recokit; recokit.checklist", "recokit.checklist"),
        ("import recokit.checklist as old; old.PreflightLimits", "recokit.checklist"),
    ],
)
def test_a_line_with_an_old_name_warns_once(line: str, old_name: str) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        exec(f"for _ in range(2):\n    {line}", {"__name__": "users_module"})
    assert [str(warning.message).partition(" ")[0] for warning in heard] == [old_name]


def test_an_attribute_keeps_its_old_name() -> None:
    requests = Requests.build(np.array([1]), ragged={"session": Ragged.from_lists([[7]])})
    with pytest.warns(
        DeprecationWarning, match=r"Requests.given has moved; write Requests.from_caller "
    ) as heard:
        assert requests.given is requests.from_caller
    with pytest.warns(
        DeprecationWarning, match=r"Requests.degraded has moved; write Requests.report_degraded "
    ):
        assert requests.degraded is requests.report_degraded
    assert [warning.filename for warning in heard] == [__file__]


class Stage:
    @renamed(most="max_items")
    def __init__(self, name: str, *, max_items: int = 3) -> None:
        self.name, self.max_items = name, max_items


def test_an_option_keeps_its_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="^most= is called max_items= now") as heard:
        assert Stage("a", most=5).max_items == 5
    assert [warning.filename for warning in heard] == [__file__]
    assert Stage("a", max_items=4).max_items == 4
    assert list(inspect.signature(Stage).parameters) == ["name", "max_items"]
    with pytest.raises(TypeError, match="fewest"):
        Stage("a", fewest=1)


EVENTS = LiveEvents()
LISTS = MatchedLists.from_lists([[1, 2]], [[1]])


@pytest.mark.parametrize(
    ("call", "options", "old", "new"),
    [
        (metrics.report, {"metrics": ["NDCG@2"]}, "judged", "matched"),
        (metrics.Stream(["NDCG@2"]).add, {}, "judged", "matched"),
        (metrics.NDCG(2).value, {}, "judged", "matched"),
        (metrics.Gini(2, n_items=3).value, {}, "judged", "matched"),
    ],
)
def test_lists_are_found_by_their_old_name(call, options, old, new) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old}= is called {new}= now"):
        call(**options, **{old: LISTS})


@pytest.mark.parametrize(
    ("function", "old"),
    [
        (compose.fusion.first_allowed, "found"),
        (off_policy.replayed_rounds, "found"),
        (slates.broken_limits, "found"),
        (EventLists.before, "most"),
    ],
)
def test_arguments_keep_their_old_names(function, old) -> None:
    """The old name is known, which an unknown one is not, however the call ends."""
    with pytest.warns(DeprecationWarning, match=f"^{old}= is called"), pytest.raises(TypeError) as refused:
        function(**{old: None}, nothing=1)
    assert old not in str(refused.value)


@pytest.mark.parametrize(
    "stage",
    [
        features.Assemble([features.ItemActivity()], live_events=EVENTS),
        features.Standard(live_events=EVENTS),
        rules.FrequencyCap(2, "1h", live_events=EVENTS),
        UserHistory(live_events=EVENTS),
    ],
)
def test_the_live_log_of_a_stage_keeps_its_old_name(stage) -> None:
    name = type(stage).__name__
    with pytest.warns(DeprecationWarning, match=f"{name}.tail has moved; write {name}.live_events "):
        assert stage.tail is stage.live_events is EVENTS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "tail" not in repr(clone(stage))
