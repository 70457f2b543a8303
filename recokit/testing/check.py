"""check_stage and its pytest parametrisation."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recokit.data import Candidates, Dataset, Requests
from recokit.errors import ConfigurationError, did_you_mean
from recokit.testing._checks import CHECKS, Check, applicable
from recokit.testing._failure import ContractFailure, Skipped
from recokit.testing._subject import Subject


class StageCheck:
    """One check of one stage, to be called; what :func:`stage_checks` returns.

    Parameters
    ----------
    check : Check
        The check.
    subject : Subject
        The stage and what it is asked.
    reason : str, default ""
        Why the check is expected to fail; empty if it must pass.
    """

    def __init__(self, check: Check, subject: Subject, reason: str = "") -> None:
        self.name, self.reason = check.name, reason
        self._check, self._subject = check, subject

    def __repr__(self) -> str:
        return f"{self._subject.name}-{self.name}"

    def __call__(self) -> None:
        """Run the check.

        Raises
        ------
        ContractFailure
            If the stage fails, or passes a check that it is expected to fail.
        unittest.SkipTest
            If the check says nothing about this stage.
        """
        self._subject.check = self.name
        try:
            self._check.run(self._subject)
        except ContractFailure:
            if not self.reason:
                raise
            return
        except Skipped as skipped:
            raise unittest.SkipTest(str(skipped)) from None
        if self.reason:
            found = "a pass"
            raise ContractFailure(
                self._subject.name,
                self.name,
                found,
                f"a failure ({self.reason})",
                "take it out of expected_failures",
            )


def stage_checks(
    stage: Any,
    *,
    candidates: Candidates | None = None,
    requests: Requests | None = None,
    dataset: Dataset | None = None,
    expected_failures: Mapping[str, str] | Sequence[str] = (),
) -> list[StageCheck]:
    """Return the checks of one stage, to be called one by one; parameters as :func:`check_stage` takes them.

    Examples
    --------
    >>> from recokit.testing import FixedSource
    >>> [check.name for check in stage_checks(FixedSource([3, 1]))][:4]
    ['one_verb', 'options', 'repr', 'fit_and_bind']
    """
    if isinstance(expected_failures, str):
        raise ConfigurationError(
            f"found expected_failures={expected_failures!r}; expected a mapping of checks to reasons; "
            f"hint: {{{expected_failures!r}: 'why it fails'}}"
        )
    expected = (
        expected_failures if isinstance(expected_failures, Mapping) else dict.fromkeys(expected_failures, "")
    )
    known = [check.name for check in CHECKS]
    for name in expected:
        if name not in known:
            raise ConfigurationError(f"found {name!r} in expected_failures; {did_you_mean(name, known)}")
    subject = Subject(stage, candidates=candidates, requests=requests, dataset=dataset)
    reasons = {name: reason or "expected" for name, reason in expected.items()}
    return [StageCheck(check, subject, reasons.get(check.name, "")) for check in applicable(subject)]


def check_stage(
    stage: Any,
    *,
    candidates: Candidates | None = None,
    requests: Requests | None = None,
    dataset: Dataset | None = None,
    expected_failures: Mapping[str, str] | Sequence[str] = (),
) -> None:
    """Check that a stage keeps every contract of its role.

    The stage is cloned, fitted where it has ``fit`` (a scorer on labelled toy candidates, anything else on the
    dataset), bound where it has ``bind``, and then asked with inputs that cannot be written to.

    ======================  ==========================================================================================
    check                   what must hold
    ======================  ==========================================================================================
    one_verb                exactly one verb, on an instance
    options                 options are stored under their own names, as given
    repr                    ``repr`` works and names the class
    fit_and_bind            ``fit`` returns the stage, ``bind`` a copy
    inputs                  inputs are left as they are
    output                  type, shape, dtype and range are those of the role; no NaN of complete features
    best_first              (sources) scores never rise within a row
    edge_cases              empty batches and rows, one candidate, unknown users, NaN, ties
    stateless               serving changes no attribute
    deterministic           the same request gives the same answer, whatever the global random state
    batch_equals_singles    a batch of B answers as B batches of one
    row_order               rows in another order get the same answers
    candidate_order         (filters, featurizers, scorers) so do candidates
    other_candidates        (filters) a decision does not depend on the other candidates
    declared                ``requires`` names all that the stage reads; a scorer may read all features as one matrix
    as_of                   (``as_of = True``) later events in the fit change nothing
    updates                 (objectives) rows that chose nothing keep their gains
    python_events           the number of Python line events does not grow with the batch; not for ``io_bound`` stages
    threads                 two threads get the answers that each would get alone
    pickle                  a pickled copy gives the same answer
    saves                   a copy saved by recokit's codec gives the same answer
    ======================  ==========================================================================================

    Parameters
    ----------
    stage : object
        A stage of any role. Arrays among its options are taken to be indexed by code: toy codes stay within them.
    candidates : Candidates, optional
        The batch to ask with, where the toy one will not do.
    requests : Requests, optional
        The requests of the toy batch.
    dataset : Dataset, optional
        What to fit on and bind to; :func:`toy_dataset` by default.
    expected_failures : mapping of str to str, or sequence of str
        Checks of the table above that this stage is known to fail, with the reason: ``{"deterministic": "asks a
        service that samples"}``. They run all the same, and one that passes after all is a failure, so that the list
        stays true. For what is a fault of the check, or meant to be so; a stage that waits for others says
        ``io_bound = True`` and needs none.

    Raises
    ------
    ContractFailure
        At the first check that fails: an AssertionError that says what was found, what was expected, and a hint.
    ConfigurationError
        If ``expected_failures`` names no check.

    Examples
    --------
    >>> import numpy as np
    >>> class FreshOnly:
    ...     def __init__(self, published_at, *, days=7.0):
    ...         self.published_at, self.days = published_at, days
    ...
    ...     def keep(self, candidates):
    ...         return candidates.now - self.published_at[candidates.item] <= self.days * 86_400
    >>> check_stage(FreshOnly(np.array([-np.inf, 0.0, 900_000.0])))
    """
    checks = stage_checks(
        stage, candidates=candidates, requests=requests, dataset=dataset, expected_failures=expected_failures
    )
    for check in checks:
        try:
            check()
        except unittest.SkipTest:
            continue


def parametrize_checks(
    stages: Sequence[Any],
    *,
    candidates: Candidates | None = None,
    requests: Requests | None = None,
    dataset: Dataset | None = None,
    expected_failures: Callable[[Any], Mapping[str, str] | Sequence[str]] | None = None,
) -> Any:
    """Return a pytest decorator: one test for each stage and check, in the argument ``check``.

    Parameters
    ----------
    stages : sequence of object
        The stages.
    candidates, requests, dataset : optional
        As :func:`check_stage` takes them, for all stages.
    expected_failures : callable, optional
        From a stage to what :func:`check_stage` takes as ``expected_failures``.

    Examples
    --------
    >>> @parametrize_checks([FixedSource([3, 1]), FixedSource([2])])  # doctest: +SKIP
    ... def test_my_stages(check):
    ...     check()
    """
    import pytest

    checks = [
        check
        for stage in stages
        for check in stage_checks(
            stage,
            candidates=candidates,
            requests=requests,
            dataset=dataset,
            expected_failures=expected_failures(stage) if expected_failures is not None else (),
        )
    ]
    return pytest.mark.parametrize("check", checks, ids=repr)
