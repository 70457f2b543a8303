"""Warming: a model made ready before it serves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from recokit._utils.options import error_text
from recokit.errors import ConfigurationError
from recokit.pipeline import Pipeline
from recokit.protocols import Observer
from recokit.serving.ask import Ask
from recokit.serving.delivery import Nowhere
from recokit.serving.pace import Pace
from recokit.serving.precomputed import Precomputed
from recokit.serving.served import Served, observed, quiet

_LOGGER = logging.getLogger("recokit.serving")
_K = 10
#: Seconds that nothing takes while nobody waits.
_AT_LEISURE = 60.0


class Versions(Protocol):
    """Versions of a model, of which one serves, such as :class:`Artifacts`."""

    @property
    def current(self) -> Any:
        """The version that serves, with its ``name``; None before the first."""
        ...

    def load(self, version: str | None = None, **options: Any) -> Pipeline:
        """Load a version, by name."""
        ...


def prepared(
    pipeline: Pipeline,
    version: str,
    fallback: Precomputed,
    *,
    observers: Sequence[Observer],
    rows: int,
    pace: Pace,
) -> Served:
    """Return a model ready to serve: warm, and with a list made ahead that its rules let pass.

    Parameters
    ----------
    pipeline, version, fallback
        See :class:`Served`; the list is made again for the pipeline where it can be.
    observers : sequence of Observer
        See its traces, but for those of warming.
    rows : int
        Rows of a full batch.
    pace : Pace
        Learns how long batches take.

    Raises
    ------
    ConfigurationError
        If nothing of the list made ahead may be shown.
    """
    try:
        fallback = fallback.renewed(pipeline)
    except Exception as error:
        _LOGGER.warning("the list made ahead stays that of the model before: %s", error_text(error))
    unseen = Served(quiet(pipeline), fallback, version)
    users = [None, *pipeline.schema.user_ids.ids[: rows - 1].tolist()]
    for n in (1, 1, len(users), 1, len(users)):
        asks = [_anyone(user) for user in users[:n]]
        began = time.perf_counter()
        unseen.run(asks, [_AT_LEISURE] * n, 1.0)
        pace.ran(n, time.perf_counter() - began)
    ahead = unseen.precomputed([_anyone(None)], "", seconds=_AT_LEISURE)[0]
    if not len(ahead):
        raise ConfigurationError(
            f"found nothing of {fallback!r} that may be shown ({'; '.join(ahead.reasons)}); expected a list that the "
            "rules let pass; hint: a longer one, Precomputed.of(pipeline, k=200)"
        )
    return Served(observed(pipeline, observers), fallback, version)


def watch(
    refresh: Callable[[], bool], serves: Callable[[], bool], poll: float, failed: Callable[[], None]
) -> None:
    """Look for new versions every ``poll`` seconds while it serves, in a thread; one that cannot serve is told once."""

    def look() -> None:
        told = ""
        while serves():
            time.sleep(poll)
            try:
                refresh()
                told = ""
            except Exception as error:  # the version that serves goes on
                if error_text(error) != told:
                    told = error_text(error)
                    _LOGGER.warning("a version cannot serve: %s", told)
                    failed()

    threading.Thread(target=look, name="recokit-versions", daemon=True).start()


def _anyone(user: object) -> Ask:
    return Ask(
        user=user,
        k=_K,
        lists={},
        context={},
        now=None,
        seed=0,
        caller=None,
        arrived=0.0,
        due=_AT_LEISURE,
        place=Nowhere(),
    )
