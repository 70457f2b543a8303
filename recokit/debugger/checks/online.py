"""OnlineGap: lists that are better by the offline metric, and no better for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit._utils.options import between, check_options
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding
from recokit.errors import DataError
from recokit.typing import FloatArray

#: Standard errors of a 95% interval.
Z = 1.96


class OnlineGap:
    """Whether a gain of the offline metric has come to people: NDCG is up, clicks are not.

    Give it the outcomes; it is not among the checks that run by default. Whatever user is diagnosed, the finding is the
    same, so that it stands among the others.

    Parameters
    ----------
    offline, usual_offline : sequence of float
        The offline metric of each user with this pipeline, and with the one before.
    online, usual_online : sequence of float
        What happened online for each unit of the experiment, or each impression: with this pipeline, and with the one
        before.
    kept : float, default 0.5
        Share of the relative gain offline that must be possible online, by the upper end of its 95% interval.

    Raises
    ------
    ConfigurationError
        If an option is out of range.
    DataError
        If there are fewer than two values of one of them, or one is not finite.

    Attributes
    ----------
    gain, online_gain : tuple of float
        Relative gain, with the ends of its 95% interval: ``(low, middle, high)``.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> ndcg, usual = random.normal(0.36, 0.1, 500), random.normal(0.30, 0.1, 500)
    >>> clicks, usual_clicks = random.random(30_000) < 0.05, random.random(30_000) < 0.05
    >>> gap = OnlineGap(ndcg, usual, clicks, usual_clicks)
    >>> gap.is_gap, round(gap.gain[1], 1)
    (True, 0.2)
    """

    def __init__(
        self, offline: Any, usual_offline: Any, online: Any, usual_online: Any, *, kept: float = 0.5
    ) -> None:
        self.kept = kept
        check_options(self, {"kept": between(0, 1, open_low=True)})
        self.gain = _gain(_values(offline, "offline"), _values(usual_offline, "usual_offline"))
        self.online_gain = _gain(_values(online, "online"), _values(usual_online, "usual_online"))

    @property
    def is_gap(self) -> bool:
        """Whether the gain offline is beyond chance, and that online at most the share ``kept`` of it."""
        return self.gain[0] > 0 and self.online_gain[2] < self.kept * self.gain[1]

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if not self.is_gap:
            return []
        figures = {"gain": self.gain, "online_gain": self.online_gain}
        return [
            finding(
                "OFFLINE_ONLINE_GAP",
                evidence=figures,
                offline=self.gain[1],
                online=self.online_gain[1],
                most=self.online_gain[2],
            )
        ]


def _values(values: Any, name: str) -> FloatArray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all():
        raise DataError(
            f"found {name} of shape {array.shape}, {int(np.count_nonzero(~np.isfinite(array)))} values not finite; "
            "expected at least two finite numbers"
        )
    return array


def _gain(here: FloatArray, usual: FloatArray) -> tuple[float, float, float]:
    """Return the relative gain of the mean and its 95% interval (delta method)."""
    mean, before = float(here.mean()), float(usual.mean())
    if before <= 0:
        raise DataError(f"found a mean of {before:g} before; expected one above 0, to compare with")
    variance = here.var(ddof=1) / len(here) + (mean / before) ** 2 * usual.var(ddof=1) / len(usual)
    gain, error = mean / before - 1.0, float(np.sqrt(variance)) / before
    return gain - Z * error, gain, gain + Z * error
