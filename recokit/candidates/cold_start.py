"""ColdStart: one of several sources, by the number of events in the history."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit.compose.composed import Composed
from recokit.data import Requests, Retrieved
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Source, bound
from recokit.typing import IntArray


class ColdStart(Composed):
    """Source that answers by one of several, by the number of events in the history.

    Choices made at onboarding are a history like any other: pass them as ``history`` and the user is no longer new.
    An empty list of a source stays empty; put :class:`FirstOf` into a stage to have another one fill it.

    Parameters
    ----------
    stages : sequence of (int, source)
        From how many events on a source answers: ``[(0, Popular()), (1, Content()), (5, ItemKNN())]``. The first is 0,
        and they ascend. Events on unknown items, and those of weight 0, do not count.

    Raises
    ------
    ConfigurationError
        If the numbers do not start at 0 and ascend, or something is no source.

    Examples
    --------
    >>> from recokit.candidates import History, Popular
    >>> from recokit.data import Dataset, Ragged
    >>> data = Dataset.from_frame({"user": [1, 1, 2], "item": [1, 2, 1], "timestamp": range(3)})
    >>> policy = ColdStart([(0, Popular()), (1, History())]).fit(data)
    >>> requests = Requests.build(np.array([0, 0]), ragged={"history": Ragged.from_lists([[], [2]])})
    >>> policy.retrieve(requests, limit=5).item.tolist()
    [1, 2, 2]
    """

    def __init__(self, stages: Sequence[tuple[int, Any]]) -> None:
        numbers = [number for number, _ in stages]
        if not numbers or numbers[0] != 0 or any(b <= a for a, b in itertools.pairwise(numbers)):
            raise ConfigurationError(
                f"found stages from {numbers} events on; expected to start at 0 and to ascend, such as [0, 1, 5]"
            )
        for _, source in stages:
            if not isinstance(source, Source):
                raise ConfigurationError(f"found {source!r}; expected an object with retrieve")
        self.stages = stages

    @property
    def sources(self) -> list[Any]:  # type: ignore[override]
        """The sources, in their order."""
        return [source for _, source in self.stages]

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, and what the sources require."""
        return tuple(dict.fromkeys(("history", *super().requires)))

    def bind(self, schema: Schema) -> ColdStart:
        """Return a copy with every source bound to the schema."""
        twin = copy.copy(self)
        twin.stages = [(number, bound(source, schema)) for number, source in self.stages]
        return twin

    def stage_of(self, requests: Requests) -> IntArray:
        """Return the place of the source that answers each row, (B,) int64."""
        history = requests.signals()
        counts = np.bincount(history.rows[history.values > 0], minlength=len(requests))
        return np.searchsorted([number for number, _ in self.stages], counts, side="right") - 1

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the answer of each row's source."""
        stage = self.stage_of(requests)
        counts = np.zeros(len(requests), np.int64)
        answers: list[tuple[IntArray, Retrieved]] = []
        for place, source in enumerate(self.sources):
            rows = np.flatnonzero(stage == place)
            if len(rows):
                answer = source.retrieve(requests.take(rows), limit)
                counts[rows] = np.diff(answer.offsets)
                answers.append((rows, answer))
        offsets = counts_to_offsets(counts)
        item, score = np.zeros(offsets[-1], np.int64), np.zeros(offsets[-1], np.float32)
        for rows, answer in answers:
            own = np.repeat(offsets[rows] - answer.offsets[:-1], np.diff(answer.offsets))
            item[own + np.arange(len(own))] = answer.item
            score[own + np.arange(len(own))] = answer.score
        return Retrieved(offsets, item, score)
