"""Configuration is the constructor: options kept under their names, shown by repr, copied by ``clone``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from recokit._utils.options import Rule, check_options
from recokit.errors import ConfigurationError, NotFittedError, did_you_mean

T = TypeVar("T")


@runtime_checkable
class HasParams(Protocol):
    """Options as scikit-learn's estimators have them."""

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def set_params(self, **params: Any) -> Any: ...


@runtime_checkable
class Estimator(Protocol):
    """A model of scikit-learn's kind, whose ``score(X, y)`` is no verb of a stage."""

    def fit(self, X: Any, y: Any) -> Any: ...

    def predict(self, X: Any) -> Any: ...

    def get_params(self) -> Any: ...


def get_params(stage: Any) -> dict[str, Any]:
    """Return the constructor options of an object, read from the attributes of the same names.

    Raises
    ------
    ConfigurationError
        If an option is not stored under its own name.
    """
    params: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(stage)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(stage, name):
            raise ConfigurationError(
                f"{type(stage).__name__} does not store its option {name!r} as an attribute of that name; "
                f"expected self.{name} = {name} in __init__, so that it can be shown, cloned and saved"
            )
        params[name] = getattr(stage, name)
    return params


def clone(stage: T) -> T:
    """Return an unfitted copy: same options, nested stages cloned too, arrays shared."""
    return type(stage)(**{name: _clone_value(value) for name, value in get_params(stage).items()})


def _clone_value(value: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_clone_value(part) for part in value)
    if type(value) is dict:
        return {key: _clone_value(part) for key, part in value.items()}
    if hasattr(value, "__sklearn_clone__") and not inspect.isclass(value):
        # An estimator knows options that its constructor takes as **kwargs, and whether it is frozen.
        return value.__sklearn_clone__()
    learns = hasattr(value, "fit") and not inspect.isclass(value)
    return clone(value) if learns or isinstance(value, Configured) else value


def nested_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with those of objects inside them that have ``get_params``, as ``option__their_option``."""
    found = dict(params)
    for name, value in params.items():
        if isinstance(value, HasParams) and not isinstance(value, type):
            found |= {f"{name}__{inner}": part for inner, part in value.get_params(deep=True).items()}
    return found


def with_params(params: Mapping[str, Any], changes: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return options with changes; an object inside whose option changes is cloned.

    Raises
    ------
    ConfigurationError
        For an unknown option.
    """
    changed, inner = dict(params), dict[str, dict[str, Any]]()
    for name, value in changes.items():
        head, nested, rest = name.partition("__")
        if head not in changed or (nested and not isinstance(changed[head], HasParams)):
            raise ConfigurationError(f"found no option {name!r} of {owner}; {did_you_mean(name, params)}")
        if nested:
            inner.setdefault(head, {})[rest] = value
        else:
            changed[head] = value
    for head, options in inner.items():
        changed[head] = _clone_value(changed[head]).set_params(**options)
    return changed


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal: arrays by their numbers, configured objects by class and options."""
    if one is other:
        return True
    if isinstance(one, Configured) and isinstance(other, Configured):
        return type(one) is type(other) and same(get_params(one), get_params(other))
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def is_fitted(stage: Any, attribute: str) -> bool:
    """Tell whether a stage has an attribute that its ``fit`` or ``bind`` sets."""
    return hasattr(stage, attribute)


def _not_fitted(stage: Any) -> NotFittedError:
    """Return the error of a stage that is asked for what only its ``fit``, or ``bind``, gives it."""
    kind = type(stage)
    learned = any(name.endswith("_") and not name.startswith("_") for name in vars(stage))
    steps = [step for step in ("fit", "bind") if hasattr(kind, step)] or ["fit"]
    step = steps[-1] if learned else " and ".join(steps)
    more = f"call {kind.__name__}.{steps[-1] if learned else steps[0]}, or fit the pipeline around it"
    return NotFittedError(f"found {kind.__name__} before {step}; expected {step} first; hint: {more}")


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 4:
        return f"array({value.shape}, {value.dtype})"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class Configured:
    """Mixin for shipped stages: a repr that shows the options that differ from their defaults, and their rules.

    A stage that is a dataclass, ``@dataclass(eq=False, repr=False)``, declares each option once, as a field, and what
    it must be in ``_OPTIONS``; the bases' rules hold too.
    """

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self) -> None:
        """Check the options of a dataclass."""
        for cls in reversed(type(self).__mro__):
            check_options(self, vars(cls).get("_OPTIONS", {}))

    if not TYPE_CHECKING:  # which knows the attributes, and should find a misspelled one

        def __getattr__(self, name: str) -> Any:
            """Raise NotFittedError for what is learned, such as ``item_factors_``, where it is not there yet."""
            if name.endswith("_") and not name.startswith("_"):
                raise _not_fitted(self)
            return object.__getattribute__(self, name)  # raises the error of a property as it was

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the options by name; ``deep`` adds those of stages inside, as ``option__their_option``."""
        return nested_params(get_params(self)) if deep else get_params(self)

    def set_params(self, **params: Any) -> Self:
        """Change options, also ``option__their_option`` of stages inside; what was learned is forgotten.

        Raises
        ------
        ConfigurationError
            For an unknown option, or one out of range: then nothing has changed.
        """
        changed = with_params(get_params(self), params, type(self).__name__)
        type(self)(**changed)  # refuses what is out of range before anything changes
        vars(self).clear()
        self.__init__(**changed)  # type: ignore[misc]
        return self

    def __sklearn_clone__(self) -> Self:
        return clone(self)

    def __repr__(self) -> str:
        signature = inspect.signature(type(self)).parameters
        shown = []
        for name, value in get_params(self).items():
            default = signature[name].default
            if default is not inspect.Parameter.empty and (value is default or repr(value) == repr(default)):
                continue
            positional = signature[name].kind is not inspect.Parameter.KEYWORD_ONLY
            shown.append(_short(value) if positional else f"{name}={_short(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"
