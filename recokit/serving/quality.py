"""Quality: how much work a request is worth while there are too many of them."""

from __future__ import annotations

from recokit._utils.options import between, check_options, rules
from recokit._utils.params import Configured

_OPTIONS = rules(target=between(0, 1), lowest=between(0.05, 1))


class Quality(Configured):
    """Lowers the effort of each run while answers take too long, and raises it again slowly.

    At less than full effort stages marked optional are skipped and the limits of sources, of their fusion and of
    cascades shrink with it: see :class:`recokit.data.Requests`.

    Parameters
    ----------
    target : float, default 0.7
        Share of its time that a row may have used when its answer is there.
    lowest : float, default 0.25
        Effort at least; 1 turns it off.

    Examples
    --------
    >>> quality = Quality()
    >>> quality.took(0.8)
    >>> quality.effort
    0.8
    """

    def __init__(self, *, target: float = 0.7, lowest: float = 0.25) -> None:
        self.target, self.lowest = target, lowest
        check_options(self, _OPTIONS)
        self._effort = 1.0

    @property
    def effort(self) -> float:
        """The effort of the next run, from ``lowest`` to 1."""
        return self._effort

    def took(self, share: float) -> None:
        """Learn that the row of a batch that was worst off had used this share of its time."""
        if share > self.target:
            self._effort = max(self.lowest, 0.8 * self._effort)
        else:
            self._effort = min(1.0, self._effort + 0.05)
