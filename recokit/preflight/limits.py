"""PreflightLimits: where the checklist warns and fails."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from recokit._stats.intervals import FEW_USERS
from recokit.budget import TOTAL_BUDGET_MS
from recokit.data.validation.limits import ValidationLimits
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation.gate import MARGIN, SEGMENT_TOLERANCE


@dataclass(frozen=True)
class PreflightLimits:
    """Where :func:`preflight` warns and fails; every default number in one place.

    Parameters
    ----------
    validation : ValidationLimits
        Of the training data.
    least_data : float
        The amount of data fails below this share of what collaborative methods need, and warns below all of it.
    margin : float
        Share of the baseline's figure that may be lost.
    segment_margin : float
        Share of its own figure that a segment may lose.
    segment_users : int
        Segments with fewer users are not judged.
    budget_ms : float
        Largest p99 of a request, milliseconds; phases get their shares of it.
    slower : float
        Largest ratio of the median and p95 of a request to the baseline's.
    max_share : float
        Of one category in a list.
    max_per_seller, seller_places : int
        Items of one seller in the first so many places.
    warn_removed, fail_removed : float
        Share of its candidates that one rule removes.
    warn_errors, fail_errors : float
        Share of requests that met an error, fell back or got nothing.
    warn_head, fail_head : float
        Share of all places that the k most shown items take.
    warn_cold, fail_cold : float
        Quality of the list for users without history, as a share of that of the popular items.
    """

    validation: ValidationLimits = field(default_factory=ValidationLimits)
    least_data: float = 0.1
    margin: float = MARGIN
    segment_margin: float = SEGMENT_TOLERANCE
    segment_users: int = FEW_USERS
    budget_ms: float = TOTAL_BUDGET_MS
    slower: float = 2.0
    max_share: float = 0.4
    max_per_seller: int = 3
    seller_places: int = 10
    warn_removed: float = 0.5
    fail_removed: float = 0.9
    warn_errors: float = 0.0
    fail_errors: float = 0.01
    warn_head: float = 0.5
    fail_head: float = 0.8
    warn_cold: float = 0.8
    fail_cold: float = 0.25

    @property
    def names(self) -> tuple[str, ...]:
        """Names that :meth:`changed` takes: its own, and those of the validation."""
        return tuple(part.name for limits in (self, self.validation) for part in fields(limits))

    def changed(self, **limits: Any) -> PreflightLimits:
        """Return the limits with some replaced, those of the validation too.

        Raises
        ------
        ConfigurationError
            For a name that is no limit.
        """
        own = [part.name for part in fields(self)]
        for name in limits:
            if name not in self.names:
                raise ConfigurationError(f"found limit {name!r}; {did_you_mean(name, self.names)}")
        mine = {name: value for name, value in limits.items() if name in own}
        changed = replace(self, **mine)
        rest = {name: value for name, value in limits.items() if name not in own}
        return replace(changed, validation=changed.validation.changed(**rest))
