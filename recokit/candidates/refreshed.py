"""Refreshed: a source whose model is replaced while requests are served."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit._utils.params import clone, is_fitted
from recokit.compose.alone.sources import AloneSource
from recokit.compose.step import leaf_name
from recokit.data import Dataset, Live, Requests, Retrieved
from recokit.errors import ConfigurationError, VocabularyMismatch
from recokit.protocols import Source, Trainable, bound, traits_of


class Refreshed(AloneSource):
    """Source that is fitted anew on the side and then replaced at once, between pipelines' own retrainings.

    A run sees one model from beginning to end: the pipeline pins it with the other live values and records its
    version, so the run can be replayed. ``refresh`` may be called from any thread, a timer's for instance, once an
    hour or at the start of a sale. If it fails, the old model stays.

    Parameters
    ----------
    source : Source
        Fitted as a clone; itself never changed.

    Raises
    ------
    ConfigurationError
        If it has no ``retrieve`` or no ``fit``.

    Attributes
    ----------
    current_ : Live
        The source that answers, and its version.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> def day(*items):
    ...     log = {"user": [1] * len(items), "item": items, "timestamp": range(len(items))}
    ...     return Dataset.from_frame(log, items={"item_id": [1, 2]})
    >>> source = Refreshed(Popular()).fit(day(1, 1, 2))
    >>> source.refresh(day(1, 2, 2))
    >>> source.retrieve(Requests.build(np.array([0])), limit=1).item.tolist()
    [2]
    """

    def __init__(self, source: Any) -> None:
        if not isinstance(source, Source):
            raise ConfigurationError(f"found {source!r}; expected an object with retrieve")
        if not isinstance(source, Trainable):
            raise ConfigurationError(f"found {source!r}; expected an object with fit")
        self.source = source

    @property
    def name(self) -> str:
        """Name of the source in columns and traces."""
        return leaf_name(self.source)

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the source requires."""
        return traits_of(self.source).requires

    @property
    def io_bound(self) -> bool:
        """Whether the source waits for input and output."""
        return traits_of(self.source).io_bound

    @property
    def live(self) -> bool:
        """Whether the source depends on today's state."""
        return traits_of(self.source).live

    @property
    def needs_times(self) -> bool:
        """Whether the source learns from the order of events."""
        return isinstance(self.source, AloneSource) and self.source.needs_times

    @property
    def fitted_until_(self) -> float:
        """Latest time that the current model has learned from, ``-inf`` before ``fit``."""
        if not is_fitted(self, "current_"):
            return -np.inf
        return traits_of(self.current_.pin()[1]).fitted_until

    def fit(self, dataset: Dataset) -> Refreshed:
        """Fit the first model."""
        self.item_ids_ = dataset.item_ids
        self.current_ = Live(self._fitted(dataset), name=self.name)
        return self

    def refresh(self, dataset: Dataset) -> None:
        """Fit a new model and let it answer from now on; runs under way keep theirs.

        Parameters
        ----------
        dataset : Dataset
            With the items of ``fit``: codes mean the same items as in the rest of the pipeline.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        VocabularyMismatch
            For other items.
        """
        if dataset.item_ids != self.item_ids_:
            raise VocabularyMismatch(
                f"found a dataset of {dataset.n_items} items that are not the {len(self.item_ids_)} of fit; "
                "expected the same; hint: dataset.with_interactions(new_log), or fit the whole pipeline for new items"
            )
        self.current_.set(self._fitted(dataset))

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return what the current model retrieves, the one pinned where the requests belong to a run.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        answer: Retrieved = requests.read(self.current_).retrieve(requests, limit)
        return answer

    def _fitted(self, dataset: Dataset) -> Any:
        source = clone(self.source).fit(dataset)
        return bound(source, dataset.schema)
