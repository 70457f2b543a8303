"""Configured, clone and get_params: the constructor is the configuration."""

import copy
import pickle
from dataclasses import KW_ONLY, dataclass

import numpy as np
import pytest

from recokit._utils.options import above, rules, whole
from recokit._utils.params import Configured, clone, get_params, is_fitted
from recokit._utils.progress import progress_bar
from recokit.data import Live, from_state, to_state
from recokit.errors import ConfigurationError, NotFittedError


class Inner(Configured):
    def __init__(self, size=3):
        self.size = size

    def fit(self, dataset):
        self.fitted_ = True
        return self


class Outer(Configured):
    def __init__(self, inner, *, weights=None, parts=(), by_name=None, live=None):
        self.inner, self.weights, self.parts, self.by_name, self.live = inner, weights, parts, by_name, live


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


def test_repr_shortens_long_values_and_names_keyword_options():
    assert repr(Outer("x" * 58)) == f"Outer({'x' * 58!r})"
    assert repr(Outer("x" * 59)) == f"Outer({repr('x' * 59)[:57]}...)"
    assert repr(Outer("a", weights=np.arange(4))) == "Outer('a', weights=array([0, 1, 2, 3]))"
    assert repr(Outer("a", parts=())) == "Outer('a')"
    assert repr(Outer("a", by_name={"x": 1})) == "Outer('a', by_name={'x': 1})"
    default = np.zeros(2)

    class Weighted(Configured):
        def __init__(self, weights=default):
            self.weights = weights

    assert repr(Weighted(np.zeros(2))) == "Weighted()"  # equal to the default, if not the same
    assert repr(Weighted(np.zeros(4))) == "Weighted(array([0., 0., 0., 0.]))"
    assert repr(Weighted(np.zeros(5))) == "Weighted(array((5,), float64))"


def test_clone_asks_an_estimator_that_knows_its_own_way():
    class Estimator:
        def __sklearn_clone__(self):
            return "a clone"

    assert clone(Outer(Estimator())).inner == "a clone"
    assert clone(Outer(Estimator)).inner is Estimator


def test_progress_bar_changes_nothing_but_the_screen(capsys):
    steps = [1, 2, 3]
    assert progress_bar(steps, show=False, label="fit") is steps
    assert capsys.readouterr().err == ""
    assert list(progress_bar(iter(steps), show=True, label="fit", total=3)) == steps
    assert "fit" in capsys.readouterr().err


class Bound(Configured):
    """A stage with both steps, and a property that fails."""

    learned_: int
    codes_: int

    def fit(self, data):
        self.learned_ = 1
        return self

    def bind(self, schema):
        return self

    @property
    def broken(self):
        return {}.nothing


def test_what_fit_learns_is_asked_for_in_its_step_before_it_is_there():
    inner = Inner()
    assert not is_fitted(inner, "fitted_") and is_fitted(inner.fit(None), "fitted_") and inner.fitted_ is True
    with pytest.raises(
        NotFittedError,
        match=r"^found Inner before fit; expected fit first; hint: call Inner\.fit, or fit the pipeline around it$",
    ):
        _ = Inner().fitted_
    with pytest.raises(
        NotFittedError,
        match=r"^found Bound before fit and bind; expected fit and bind first; hint: call Bound\.fit,",
    ):
        _ = Bound().codes_
    with pytest.raises(NotFittedError, match=r"^found Bound before bind; expected bind first"):
        _ = Bound().fit(None).codes_


def test_other_missing_attributes_and_failing_properties_keep_their_own_errors():
    with pytest.raises(AttributeError, match="'Bound' object has no attribute 'weights'") as missing:
        _ = Bound().weights
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'nothing'") as failing:
        _ = Bound().broken
    assert not isinstance(missing.value, NotFittedError) and not isinstance(failing.value, NotFittedError)
    assert copy.deepcopy(pickle.loads(pickle.dumps(Bound().fit(None)))).learned_ == 1


@dataclass(eq=False, repr=False, kw_only=True)
class Decaying(Configured):
    _OPTIONS = rules(half_life=above(0))

    half_life: float = 7.0


@dataclass(eq=False, repr=False)
class Counting(Decaying):
    _OPTIONS = rules(n=whole(1))

    n: int = 10
    _: KW_ONLY
    half_life: float = 14.0
    seed: int = 0


class Built(Decaying):
    def __init__(self, names):
        self.names, self.half_life = tuple(names), 3.0
        self.__post_init__()


def test_options_declared_as_fields_keep_the_rules_of_all_bases():
    for options, name in (({"n": 0}, "n"), ({"half_life": 0.0}, "half_life"), ({"n": 1.5}, "n")):
        with pytest.raises(ConfigurationError, match=f"found {name}="):
            Counting(**options)
    with pytest.raises(ConfigurationError, match="found half_life=-1"):
        Decaying(half_life=-1)
    with pytest.raises(TypeError):
        Counting(3, 14.0)
    stage = Counting(3, seed=2)
    assert repr(stage) == "Counting(3, seed=2)" and repr(Counting()) == "Counting()"
    assert get_params(stage) == {"n": 3, "half_life": 14.0, "seed": 2} == get_params(clone(stage))
    assert stage != clone(stage) and len({stage, clone(stage)}) == 2


def test_a_stage_with_a_constructor_of_its_own_is_saved_by_that():
    tree, arrays = to_state(Built(["a", "b"]))
    loaded = from_state(tree, arrays, trusted=[Built])
    assert type(loaded) is Built and get_params(loaded) == {"names": ("a", "b")} and loaded.half_life == 3.0
