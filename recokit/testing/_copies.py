"""The checks that a stage survives being copied: by pickle, and by recokit's codec."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

from recokit._configured import get_params
from recokit.data.codec import from_state, to_state
from recokit.errors import ConfigurationError
from recokit.testing._failure import Skipped, cause_of
from recokit.testing._subject import Subject

__all__ = ["check_pickle", "check_saves"]


def check_pickle(subject: Subject) -> None:
    """Raise ContractFailure unless a pickled copy gives the same answer."""
    stage = subject.ready
    parts = [type(stage), *get_params(stage).values()]
    if not all(_picklable(part) for part in parts):
        raise Skipped("the class or an option cannot be found by name, as a lambda or a local class")
    try:
        loaded = pickle.loads(pickle.dumps(stage))
    except Exception as error:
        hint = "hold data, not functions or open resources, in what fit and bind set"
        subject.fail(f"{type(error).__name__} ({error})", "a stage that can be pickled", hint)
    subject.same(subject.ask(subject.batch, loaded), subject.ask(subject.batch), "after pickling", "")


def check_saves(subject: Subject) -> None:
    """Raise ContractFailure unless a copy saved by recokit's codec gives the same answer."""
    stage, hint = (
        subject.fitted,
        "what fit learns goes to attributes that end with _, or to state() and load_state()",
    )
    try:
        tree, arrays = to_state(stage)
    except ConfigurationError as error:
        raise Skipped(str(error)) from error
    try:
        loaded = subject.bind(from_state(tree, arrays, trusted=_classes(stage)), subject.schema)
        found = subject.ask(subject.batch, loaded)
    except Exception as error:
        subject.fail(f"{cause_of(error)} after saving and loading", "the same answer", hint)
    subject.same(found, subject.ask(subject.batch), "after saving and loading", hint)


def _picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _classes(value: Any) -> set[type]:
    """Return the classes of a stage and of all that it holds."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    own = vars(value).values() if hasattr(value, "__dict__") and not inspect.isroutine(value) else ()
    found = {*type(value).__mro__[:-1]} if hasattr(value, "__dict__") else set()
    return found.union(*map(_classes, (*parts, *own)))
