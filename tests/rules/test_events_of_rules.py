"""Rules about events: which events they take, and that they do not stand for nothing."""

from dataclasses import replace

import numpy as np
import pytest

from recokit.data import Candidates, Dataset, Requests, UserHistory
from recokit.errors import ConfigurationError
from recokit.rules import FrequencyCap, NotOwned


def dataset(*events, **weights):
    n = len(events)
    log = {"user": ["ann"] * n, "item": np.arange(n), "timestamp": np.arange(n) + 1.0, "event": list(events)}
    return Dataset.from_frame(log, event_weights=weights)


def test_not_owned_knows_every_name_of_a_purchase_and_those_that_it_is_told():
    data = dataset("view", "transaction", "teleport", teleport=1)
    requests = Requests.build(np.array([1, 0]), now=99.0)
    requests = replace(requests, ragged=UserHistory().fit(data).hydrate(requests).ragged)
    every = Candidates.from_lists([[1, 2, 3], [2]], requests=requests)
    assert NotOwned().fit(data).keep(every).tolist() == [True, False, True, True]
    assert NotOwned(events=["teleport"]).fit(data).keep(every).tolist() == [True, True, False, True]
    assert NotOwned(events=["teleport", "order"]).fit(data).keep(every).tolist() == [True, False, False, True]


@pytest.mark.parametrize("rule", [NotOwned(), NotOwned(events=["rental"]), FrequencyCap()])
def test_a_rule_without_an_event_of_its_kind_fails_at_fit(rule):
    with pytest.raises(ConfigurationError, match="no event type"):
        rule.fit(dataset("view", "cart"))
