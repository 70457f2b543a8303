"""DriftMonitor: which features no longer look like in training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from recokit._utils.report import json_ready
from recokit.data.validation.report import Check, CheckReport
from recokit.monitoring.drift._tests import (
    TESTS,
    Counts,
    DriftLimits,
    Test,
    count_label,
    count_number,
    mean_shift,
    psi,
)
from recokit.monitoring.drift.profile import CategoryProfile, NumberProfile, ReferenceProfile, read_batch
from recokit.typing import AnyArray, FloatArray

_LIMITS = DriftLimits()


@dataclass(frozen=True, eq=False, repr=False)
class DriftReport(CheckReport):
    """A check for each column that moved since training, one for all where none did.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.validation.report.CheckReport`.
    rows : int
        Rows observed.
    figures : mapping of str to mapping of str to float
        By column: ``rows`` (independent ones), ``missing``, and ``mean_shift``, ``psi``, ``psi_chance`` or
        ``new_labels``; NaN where unknown.
    shares : mapping of str to pair of ndarray
        By column: shares of its bins in training, and now.
    """

    rows: int = 0
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shares: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def plot_columns(self, *, most: int = 8) -> Any:
        """Draw the distribution of each column in training and now, those that drifted first.

        Parameters
        ----------
        most : int, default 8
            Columns that are drawn.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.multiples import draw_multiples

        order = sorted(self.shares, key=lambda name: name not in self.drifted)[:most]
        heading = f"{len(self.drifted)} of {len(self.shares)} columns drifted"
        return draw_multiples({name: self.shares[name] for name in order}, self.drifted, heading)

    @property
    def drifted(self) -> tuple[str, ...]:
        """Columns with a finding, each once."""
        return tuple(dict.fromkeys(check.subject for check in self.findings if check.subject))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; unknown figures are None."""
        return {**super().to_dict(), "observed_rows": self.rows, "figures": json_ready(self.figures)}


class DriftMonitor:
    """Compare served features with those of training, in counts: memory does not grow with rows.

    Parameters
    ----------
    profile : ReferenceProfile
        Of training.
    limits : DriftLimits
        Where to warn and fail.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> profile = ReferenceProfile.of({"price": rng.normal(20, 5, 2000), "stock": rng.poisson(4, 2000)})
    >>> monitor = DriftMonitor(profile)
    >>> monitor.observe({"price": rng.normal(32.5, 5, 500), "stock": rng.poisson(4, 500)})
    >>> report = monitor.report()
    >>> report.drifted, report["drift.mean"].status
    (('price',), 'fail')
    """

    def __init__(self, profile: ReferenceProfile, limits: DriftLimits = _LIMITS) -> None:
        self.profile = profile
        self.limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget what was observed."""
        self._rows = 0
        self._absent: set[str] = set()
        self._unknown: set[str] = set()
        self._counts = {name: Counts(p) for name, p in self.profile.numbers.items()}
        self._counts |= {name: Counts(p) for name, p in self.profile.labels.items()}

    def observe(
        self,
        data: Any,
        *,
        groups: AnyArray | None = None,
        weight: AnyArray | None = None,
        categorical: Collection[str] = (),
    ) -> None:
        """Count a chunk; the rows of one group must come in one chunk.

        Parameters
        ----------
        data : RankingData, Candidates, Dataset, or mapping of str to array
            The columns of the profile.
        groups, weight : array_like, shape (n,), optional
            Rows with the same value belong together; weight of each row.
        categorical : collection of str
            Columns of numbers that are labels; those the profile knows as labels are anyway.

        Raises
        ------
        DataError
            If lengths differ.
        """
        known = self.profile.labels
        if isinstance(data, Mapping):
            categorical = {*categorical, *(name for name in known if name in data)}
        batch = read_batch(data, groups=groups, weight=weight, categorical=categorical)
        if not len(batch):
            return
        self._rows += len(batch)
        served = {*batch.numbers, *batch.labels}
        self._absent |= set(self.profile.names) - served
        self._unknown |= served - set(self.profile.names)
        for name, number in self.profile.numbers.items():
            if name in batch.numbers:
                count_number(self._counts[name], number, batch.numbers[name], batch)
            elif name in batch.labels:  # text where numbers were: nothing is a number
                count_number(self._counts[name], number, np.full(len(batch), np.nan), batch)
        for name, label in known.items():
            if name in batch.labels:
                count_label(self._counts[name], label, batch.labels[name], batch)

    def report(self) -> DriftReport:
        """Return the tests of all rows so far.

        Returns
        -------
        DriftReport
            The checks ``drift.columns``, ``drift.mean``, ``drift.psi``, ``drift.missing``, ``drift.constant``,
            ``drift.varies``, ``drift.modes`` and ``drift.new_labels``.
        """
        checks: list[Check] = [self._columns()]
        for name, expected, test in TESTS:
            checks += self._run(name, expected, test)
        figures = {name: self._figures(name) for name in self._counts}
        title = f"Drift of {self._rows:,} rows against {self.profile.rows:,} of training"
        return DriftReport(title, tuple(checks), self._rows, figures, self._shares())

    def _shares(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Return the shares of each column's bins in training and now, where anything was observed."""
        references: dict[str, Any] = {**self.profile.numbers, **self.profile.labels}
        return {
            name: (references[name].shares, counts.bins / counts.bins.sum())
            for name, counts in self._counts.items()
            if counts.bins.sum() > 0
        }

    def check(self, data: Any, **options: Any) -> DriftReport:
        """Return the report of this data alone; options as for :meth:`observe`. What was observed is untouched."""
        alone = DriftMonitor(self.profile, self.limits)
        alone.observe(data, **options)
        return alone.report()

    def __repr__(self) -> str:
        return f"DriftMonitor({self.profile!r}, {self._rows} rows observed)"

    def _columns(self) -> Check:
        name, expected = "drift.columns", "the columns of training"
        if not self._rows:
            return Check(name, "not checked", "no rows were observed", expected)
        if self._absent:
            hint = "serve the features that the model was trained on"
            message = f"found no {', '.join(sorted(self._absent))}"
            return Check(name, "fail", message, expected, hint, subject=min(self._absent))
        if self._unknown:
            message = f"found {', '.join(sorted(self._unknown))}, which training did not have"
            return Check(name, "warn", message, expected, "make a new profile", subject=min(self._unknown))
        return Check(name, "pass", f"all {len(self.profile.names)} columns are there", expected)

    def _run(self, name: str, expected: str, test: Test) -> list[Check]:
        """Return the findings of a test, or one check where it finds nothing."""
        columns = self.profile.names
        z = NormalDist().inv_cdf(1 - self.limits.false_alarms / max(len(columns), 1))
        verdicts = {
            column: test(self._reference(column), self._counts[column], self.limits, z)
            for column in columns
            if self._counts[column].independent >= self.limits.min_rows
        }
        known = {column: verdict for column, verdict in verdicts.items() if verdict is not None}
        findings = [
            Check(
                name,
                status,
                f"{column}: {message}",
                expected=wanted,
                hint=hint,
                subject=column,
                evidence={key: value for key, value in self._figures(column).items() if np.isfinite(value)},
            )
            for column, (status, message, wanted, hint) in known.items()
            if status != "pass"
        ]
        if findings:
            return findings
        if not known:
            return [Check(name, "not checked", "no column with enough rows to tell", expected)]
        return [Check(name, "pass", f"none of {len(known)} columns moved", expected)]

    def _reference(self, column: str) -> NumberProfile | CategoryProfile:
        return self.profile.numbers.get(column) or self.profile.labels[column]

    def _figures(self, column: str) -> dict[str, float]:
        counts = self._counts[column]
        figures = {"rows": counts.independent, "missing": counts.missing / max(counts.total, 1e-300)}
        reference = self._reference(column)
        if isinstance(reference, NumberProfile):
            figures["mean_shift"] = mean_shift(reference, counts)
        else:
            figures["new_labels"] = sum(counts.new.values()) / max(counts.known, 1e-300)
        figures["psi"], figures["psi_chance"] = psi(reference, counts, 3.0)
        return figures
