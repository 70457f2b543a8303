"""Tests for your own stages: the contract checks that every shipped stage passes, and doubles.

:func:`check_stage` runs all checks on one stage, :func:`parametrize_checks` makes a pytest test of each, and
:func:`stage_checks` lists them; a failure is a :class:`ContractFailure`. :func:`toy_dataset`, :func:`make_requests` and
:func:`make_candidates` are small deterministic data; :class:`FixedSource` is a source with a known answer, :func:`slow`
and :func:`failing` spoil any stage.
"""

from recokit.testing._failure import ContractFailure
from recokit.testing.check import StageCheck, check_stage, parametrize_checks, stage_checks
from recokit.testing.data import make_candidates, make_requests, toy_dataset
from recokit.testing.doubles import FixedSource, failing, slow

__all__ = [
    "ContractFailure",
    "FixedSource",
    "StageCheck",
    "check_stage",
    "failing",
    "make_candidates",
    "make_requests",
    "parametrize_checks",
    "slow",
    "stage_checks",
    "toy_dataset",
]
