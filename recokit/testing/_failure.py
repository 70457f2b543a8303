"""How a check says that a stage breaks its contract."""

from __future__ import annotations


class ContractFailure(AssertionError):
    """A stage that breaks its protocol's contract.

    Parameters
    ----------
    stage : str
        Class name of the stage.
    check : str
        Name of the check, as ``expected_failures`` takes it.
    found, expected, hint : str
        What was found, what was expected, and how to get there; the hint may be empty.

    Examples
    --------
    >>> str(ContractFailure("Fresh", "output", "a list from keep", "a bool array", "return np.array(...)"))
    "Fresh fails check 'output': found a list from keep; expected a bool array; hint: return np.array(...)"
    """

    def __init__(self, stage: str, check: str, found: str, expected: str, hint: str = "") -> None:
        self.stage, self.check, self.found, self.expected, self.hint = stage, check, found, expected, hint
        more = f"; hint: {hint}" if hint else ""
        super().__init__(f"{stage} fails check {check!r}: found {found}; expected {expected}{more}")

    def __reduce__(self) -> tuple[type[ContractFailure], tuple[str, ...]]:
        # Parallel test runners send failures between processes.
        return type(self), (self.stage, self.check, self.found, self.expected, self.hint)


class Skipped(Exception):
    """A check that says nothing about this stage, with the reason."""


class WrongAnswer(Exception):
    """An answer that is not what its role promises, before it is known which check of which stage asked.

    Parameters
    ----------
    found, expected, hint : str
        As for :class:`ContractFailure`.
    """

    def __init__(self, found: str, expected: str, hint: str = "") -> None:
        self.found, self.expected, self.hint = found, expected, hint
        super().__init__(found)
