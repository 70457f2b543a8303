"""How a check says that a stage breaks its contract."""

from __future__ import annotations

__all__ = ["ContractFailure", "Skipped", "cause_of"]


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


def cause_of(error: BaseException) -> str:
    """Return what went wrong in a nested failure, as a failure says what was found."""
    if isinstance(error, ContractFailure) and error.__cause__ is None:
        return error.found
    cause = error.__cause__ if error.__cause__ is not None else error
    return f"{type(cause).__name__} ({cause})"
