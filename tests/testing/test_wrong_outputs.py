"""Every way in which an answer's type, shape or range can be wrong is told apart."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import Cap, Pin, Ragged, Retrieved
from recokit.data.requests import Hydrated
from recokit.testing import ContractFailure, check_stage


def stage(verb, answer, **attributes):
    """Return a stage whose verb answers with ``answer(input)``."""
    return type("Wrong", (), {verb: lambda self, *args: answer(args[0]), **attributes})()


def source(offsets, item, score=None):
    def answer(requests):
        score_ = np.ones(len(item), np.float32) if score is None else score
        return Retrieved(np.array(offsets), np.array(item), score_)

    return stage("retrieve", answer)


def limits(*make):
    return stage("limit", lambda batch: tuple(part(batch) for part in make))


def cap(**options):
    return lambda batch: Cap("c", np.zeros(len(batch), np.int64), **options)


def hydrated(columns=(), ragged=()):
    return stage("hydrate", lambda requests: Hydrated(dict(columns), dict(ragged)))


NONE = np.zeros(0, np.int64)
LISTS = Ragged(np.arange(9), np.ones(8, np.int64))

WRONG = {
    "retrieve list": (stage("retrieve", lambda r: []), r"found list from retrieve; expected a Retrieved"),
    "offsets fall": (source([0, 2, 1, 1, 1, 1, 1, 1, 1], [1]), "expected offsets from 0 that never fall"),
    "offsets short": (source([0, 0], []), r"found int64 \(2,\) as offsets; expected int64 \(9,\)"),
    "items int32": (
        stage(
            "retrieve",
            lambda r: Retrieved(np.zeros(len(r) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0)),
        ),
        r"found int32 \(0,\) as item; expected int64 \(0,\)",
    ),
    "names list": (
        stage("featurize", lambda c: np.zeros((len(c), 1), np.float32), names=["a"]),
        r"found names=\['a'\]; expected a tuple of feature names",
    ),
    "names twice": (
        stage("featurize", lambda c: np.zeros((len(c), 2), np.float32), names=("a", "a")),
        "expected distinct feature names",
    ),
    "hydrate dict": (stage("hydrate", lambda r: {}), r"found dict from hydrate; expected a Hydrated"),
    "column short": (
        hydrated({"x": np.zeros(3)}),
        r"found float64 \(3,\) as column 'x'; expected an array \(8,\)",
    ),
    "column list": (hydrated({"x": [1] * 8}), r"found list as column 'x'; expected an array \(8,\)"),
    "list values": (
        hydrated(ragged={"h": Ragged(np.arange(9), np.ones(8))}),
        r"found float64 \(8,\) as values of list 'h'; expected int64 \(8,\)",
    ),
    "list codes": (
        hydrated(ragged={"h": Ragged(np.arange(9), -np.ones(8, np.int64))}),
        "found code -1 in list 'h'; expected codes of at least 0",
    ),
    "list column": (
        hydrated(ragged={"h": Ragged(LISTS.offsets, LISTS.values, {"weight": np.ones(3)})}),
        "found 3 entries in list 'h'.weight; expected 8, one for each value",
    ),
    "limit cap": (
        stage("limit", lambda c: cap(maximum=1)(c)),
        "found Cap from limit; expected a tuple of Cap and Pin",
    ),
    "limit names": (
        limits(cap(maximum=1), cap(share=0.5)),
        "found limits named .*; expected a distinct name for each",
    ),
    "cap share": (limits(cap(share=1.5)), "found maximum=None, share=1.5 of Cap 'c'"),
    "cap maximum": (limits(cap(maximum=-1)), "found maximum=-1, share=None of Cap 'c'"),
    "cap within": (limits(cap(maximum=1, within=0)), "found within=0, sliding=False of Cap 'c'"),
    "cap sliding": (limits(cap(maximum=1, sliding=True)), "found within=None, sliding=True of Cap 'c'"),
    "cap minimum": (
        limits(cap(minimum=1, within=2, sliding=True)),
        "found minimum=1, sliding=True of Cap 'c'",
    ),
    "cap nothing": (
        limits(cap()),
        "found maximum=None, share=None of Cap 'c'; expected exactly one of them, or",
    ),
    "cap group": (
        limits(lambda c: Cap("c", np.zeros(3, np.int64), maximum=1)),
        r"found int64 \(3,\) as group of Cap 'c'; expected int64 \(73,\)",
    ),
    "cap offsets": (
        limits(lambda c: Cap("c", np.zeros(3, np.int64), offsets=NONE, maximum=1)),
        r"found int64 \(0,\) as offsets of Cap 'c'; expected int64 \(74,\)",
    ),
    "pin places": (
        limits(lambda c: Pin("p", np.full(len(c), -1))),
        "found position -1 of Pin 'p'; expected places from 1, or 0 for none",
    ),
    "rerank floats": (
        stage("rerank", lambda c: np.arange(len(c), dtype=np.float64)),
        r"found float64 \(73,\) from rerank; expected int64 positions",
    ),
    "rerank range": (stage("rerank", lambda c: np.array([len(c)])), "found positions 73 to 73 from rerank"),
    "annotate array": (stage("annotate", lambda c: np.zeros(len(c))), "found ndarray from annotate"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_answer_is_told_apart(wrong, message):
    with pytest.raises(ContractFailure, match=message) as failure:
        check_stage(wrong)
    assert failure.value.check == "output"


def test_a_gain_may_not_be_nan():
    class NoGain:
        def start(self, window):
            return window

        def gain(self, state):
            return np.full(state.valid.shape, np.nan, np.float32)

        def update(self, state, chosen, active):
            return state

    with pytest.raises(
        ContractFailure, match="found NaN among the gains; expected a number for each candidate"
    ):
        check_stage(NoGain())


def test_parts_that_come_and_go_are_found():
    def answer(batch):
        names = ["a", "b"] if batch.n_rows > 1 else ["a"]
        return {name: np.zeros(len(batch)) for name in names}

    with pytest.raises(
        ContractFailure, match=r"found parts \['a'\] against \['a', 'b'\] for row 0 asked alone"
    ):
        check_stage(stage("annotate", answer))


def test_writing_into_an_own_array_while_serving_is_found():
    class Counts:
        def __init__(self, counts):
            self.counts = counts

        def keep(self, candidates):
            self.counts[0] += 1
            return self.counts[candidates.item] >= 0

    with pytest.raises(ContractFailure, match="found that keep wrote into the attribute 'counts'"):
        check_stage(Counts(np.zeros(31)))


def test_a_cache_that_grows_while_serving_is_found():
    class Remembers:
        def __init__(self):
            self.cache = {}

        def keep(self, candidates):
            self.cache[len(self.cache)] = candidates
            return candidates.item > 0

    with pytest.raises(ContractFailure, match="found that keep wrote into the attribute 'cache'"):
        check_stage(Remembers())
