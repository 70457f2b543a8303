"""Exposure: what groups of items, such as sellers, were shown so far and what they are owed, across requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit.data import Candidates, Dataset, Live, Vocabulary, load_state, save_state
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Exposed:
    """What happened so far.

    Parameters
    ----------
    exposure : ndarray of float64, shape (G + 1,)
        Examination of the places that each group had; 0 is items without a group.
    target : ndarray of float64, shape (G + 1,)
        What it should have had: of every list, the part of its merit.
    requests : int
        Lists counted.
    """

    exposure: FloatArray
    target: FloatArray
    requests: int

    @property
    def owed(self) -> FloatArray:
        """What each group is owed, in lists' worth of exposure, (G + 1,); below 0 where it had too much."""
        total = self.exposure.sum()
        owed = (self.target - self.exposure) * (self.requests / total if total > 0 else 0.0)
        owed[0] = 0.0
        return np.asarray(owed)


class ExposureLedger(Live[Exposed]):
    """Exposure of groups across requests: a live value that :class:`FairExposure` reads and an observer that fills it.

    Every list has so much exposure to give: the examination of its places. A group's target grows with every request
    by the part that its merit has of the merit of all groups eligible in it. Merit is by default the mean relevance of
    a group's eligible items, those that stood before selection, so a group that nobody could be shown earns nothing.

    Parameters
    ----------
    item_ids : Vocabulary
        The items.
    group : ndarray, shape (n_items,)
        Label of each item's group, such as its seller; None or an empty text for none.
    examination : ndarray of float64, shape (K,), optional
        Probability that each place is looked at, such as ``PositionBias.examination``; nobody looks beyond the last.
        By default ``1 / log2(1 + place)``, the discount of NDCG.
    merit : {"mean", "sum"} or mapping of label to merit, default "mean"
        Of the relevance of eligible items, or the same for all requests.
    name : str, default "exposure"
        How traces name it.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or groups are not one for each item.

    Notes
    -----
    Relevance is the ranker's score, which has to be at least 0 and to mean the same in all requests: a probability.
    For merit without position bias train the ranker without it (:func:`recokit.debias.inverse_propensity`,
    :class:`recokit.rankers.PositionAware`). Groups are kept by label, items by id, so one ledger outlives models. It
    counts every run that it observes: evaluate with a pipeline that does not have it among its observers.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> ledger = ExposureLedger.of(toy_dataset(), "seller")
    >>> ledger.pin()[1].requests
    0
    """

    #: Observers that want it get the candidates as they stood before selection.
    wants_ranked = True

    def __init__(
        self,
        item_ids: Vocabulary,
        group: AnyArray,
        *,
        examination: AnyArray | None = None,
        merit: str | Mapping[str, float] = "mean",
        name: str = "exposure",
    ) -> None:
        if len(group) != len(item_ids):
            raise ConfigurationError(
                f"found {len(group)} groups for {len(item_ids)} items; expected one for each"
            )
        self.item_ids, self.group, self.examination, self.merit = item_ids, group, examination, merit
        labels = np.array(["" if label is None else str(label) for label in np.asarray(group).tolist()])
        #: Labels of the groups 1 to G.
        self.labels: tuple[str, ...] = tuple(sorted({*labels.tolist()} - {""}))
        places = {"": 0} | {label: code for code, label in enumerate(self.labels, 1)}
        self._group = np.array([0, *(places[label] for label in labels.tolist())], np.int64)
        self._examination = _checked_examination(examination)
        self._fixed = _checked_merit(merit, self.labels)
        self._counting = threading.Lock()
        self._translated: tuple[str, IntArray] = (item_ids.fingerprint, self._group)
        nothing = np.zeros(len(self.labels) + 1)
        super().__init__(Exposed(nothing, nothing, 0), name=name)

    @classmethod
    def of(cls, dataset: Dataset, column: str, **options: Any) -> ExposureLedger:
        """Return a ledger of the groups in an item column, such as ``"seller"``; options as for the class.

        Raises
        ------
        ConfigurationError
            If there is no such categorical column.
        """
        name = column.removeprefix("item.")
        labels = np.concatenate([[None], dataset.items.labels(name).ids.astype(object)])
        return cls(dataset.item_ids, labels[dataset.items.column(name)[1:]], **options)

    def groups_of(self, item_ids: Vocabulary) -> IntArray:
        """Return the group of each of a model's item codes, (n_items + 1,) int64; 0 for items that are new here."""
        fingerprint, group = self._translated
        if fingerprint != item_ids.fingerprint:
            group = self._group[np.concatenate([[0], self.item_ids.encode(item_ids.ids)])]
            self._translated = (item_ids.fingerprint, group)
        return group

    def look(self, place: IntArray) -> FloatArray:
        """Return the examination of 0-based places, float64."""
        if self._examination is None:
            return np.asarray(1 / np.log2(place + 2.0))
        known = np.append(self._examination, 0.0)
        return known[np.minimum(place, len(self._examination))]

    def observe(self, trace: Any) -> None:
        """Count the lists of a run.

        Raises
        ------
        DataError
            If a score is below 0, which is no relevance.
        """
        self.count(trace.selected, trace.ranked, trace.item_ids)

    def count(self, selected: Candidates, eligible: Candidates, item_ids: Vocabulary | None = None) -> None:
        """Count lists beside the candidates that they were chosen from, without a pipeline.

        Parameters
        ----------
        selected, eligible : Candidates
            The lists and the candidates, of the same requests.
        item_ids : Vocabulary, optional
            Of the item codes; those of the ledger by default.

        Raises
        ------
        DataError
            If a score is below 0, which is no relevance.
        """
        group = self.groups_of(self.item_ids if item_ids is None else item_ids)
        merit = self._merit(eligible, group[eligible.item])
        theirs = group[selected.item]
        look = np.where(theirs > 0, self.look(rank_in_row(selected.row, selected.offsets)), 0.0)
        counts = merit.sum(axis=1) > 0  # nobody to compare with: neither exposure nor target
        look *= counts[selected.row]
        total = np.bincount(selected.row, look, selected.n_rows)
        target = total @ (merit / np.maximum(merit.sum(axis=1, keepdims=True), 1e-300))
        exposure = np.bincount(theirs, look, len(target))
        with self._counting:
            before = self.pin()[1]
            requests = before.requests + int(np.count_nonzero(total))
            self.set(Exposed(before.exposure + exposure, before.target + target, requests))

    def _merit(self, eligible: Candidates, group: IntArray) -> FloatArray:
        """Return the merit of each group in each row, (B, G + 1), 0 where it has no eligible item."""
        score = np.where(np.isfinite(eligible.score), eligible.score, 0.0).astype(np.float64)
        if (score < 0).any():
            raise DataError(
                f"found score {score.min():.3g}; expected a relevance of at least 0, such as a probability; "
                "hint: rankers.Calibrated, or merit= by label"
            )
        shape = (eligible.n_rows, len(self.labels) + 1)
        key = eligible.row * shape[1] + group
        count = np.bincount(key, minlength=shape[0] * shape[1]).reshape(shape)
        total = np.bincount(key, score, shape[0] * shape[1]).reshape(shape)
        count[:, 0], total[:, 0] = 0, 0.0
        if self._fixed is not None:
            return np.asarray((count > 0) * self._fixed)
        return np.asarray(total / np.maximum(count, 1) if self.merit == "mean" else total)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each group: its share of exposure and of merit, and the gap as a part of the latter."""
        now = self.pin()[1]
        exposure = now.exposure / max(now.exposure.sum(), 1e-300)
        target = now.target / max(now.target.sum(), 1e-300)
        return [
            {
                "group": label,
                "exposure": float(exposure[code]),
                "merit": float(target[code]),
                "gap": float(exposure[code] / target[code] - 1) if target[code] > 0 else float("nan"),
            }
            for code, label in enumerate(self.labels, 1)
        ]

    def plot(self, ax: Any = None, *, most: int = 12) -> Any:
        """Draw each group's share of exposure beside what its merit asks for, the largest first.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new figure by default.
        most : int, default 12
            Groups that are drawn.

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.bars import draw_paired
        from recokit._utils.plots.style import title

        rows = sorted(self.table(), key=lambda row: -max(row["exposure"], row["merit"]))[:most]
        exposure, merit = ([row[name] for row in rows] for name in ("exposure", "merit"))
        words = ("share of exposure", "share of merit")
        ax = draw_paired([str(row["group"]) for row in rows], exposure, merit, words, ax)
        title(ax, f"Exposure of {len(rows)} of {len(self.labels)} groups")
        return ax

    # -- saving --------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save groups and counts to a folder, in one step; see :func:`recokit.data.save_state`."""
        save_state(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ExposureLedger:
        """Load what ``save`` wrote.

        Raises
        ------
        DataError
            If a file is missing or altered, or it is no ledger.
        """
        found, _ = load_state(path)
        if not isinstance(found, cls):
            raise DataError(f"found {type(found).__name__} at {path}; expected an ExposureLedger")
        return found

    def state(self) -> dict[str, Any]:
        """Return the counts by label, for the codec."""
        now = self.pin()[1]
        return {
            "labels": list(self.labels),
            "exposure": now.exposure,
            "target": now.target,
            "requests": now.requests,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take the counts of groups of the same labels; groups that are new here begin at 0."""
        before = {label: code for code, label in enumerate(state["labels"], 1)}
        code = np.array([0, *(before.get(label, -1) for label in self.labels)])
        known = np.where(code >= 0, code, 0)
        exposure, target = (np.where(code >= 0, state[name][known], 0.0) for name in ("exposure", "target"))
        self.set(Exposed(exposure, target, int(state["requests"])))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_counting")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._counting = threading.Lock()

    def __repr__(self) -> str:
        return f"ExposureLedger({len(self.labels)} groups, name={self.name!r})"


def _checked_examination(examination: AnyArray | None) -> FloatArray | None:
    if examination is None:
        return None
    values = np.asarray(examination, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (values < 0).any():
        raise ConfigurationError(
            f"found examination of shape {values.shape}; expected probabilities of places, the first one first"
        )
    return values


def _checked_merit(merit: str | Mapping[str, float], labels: tuple[str, ...]) -> FloatArray | None:
    if isinstance(merit, str):
        if merit not in ("mean", "sum"):
            raise ConfigurationError(f"found merit={merit!r}; expected 'mean', 'sum', or merits by label")
        return None
    for label, value in merit.items():
        if label not in labels:
            raise ConfigurationError(f"found a merit for the group {label!r}; {did_you_mean(label, labels)}")
        if not (np.isfinite(value) and value >= 0):
            raise ConfigurationError(f"found merit {value} of {label!r}; expected at least 0")
    return np.array([0.0, *(merit.get(label, 0.0) for label in labels)])
