"""Preflight reads ids of events, and what was shown where the log does not have it."""

import numpy as np

import recokit as rk

DATA = rk.testing.toy_dataset()
PIPELINE = rk.Pipeline([rk.candidates.Popular()]).fit(DATA)


def test_an_event_sent_twice_is_found_by_its_id():
    ids = np.arange(len(DATA.interactions))
    good = rk.preflight(PIPELINE, DATA, n_requests=1, event_ids=ids)["data.duplicates"]
    ids[50:80] = 7
    bad = rk.preflight(PIPELINE, DATA, n_requests=1, event_ids=ids)["data.duplicates"]
    assert good.status == "pass"
    assert bad.status == "fail"
    assert "30 events" in bad.message


def test_impressions_beside_the_log_are_joined():
    log = DATA.interactions
    shown = {"user": log.user, "item": log.item, "timestamp": log.timestamp - 1.0}
    plain = rk.preflight(PIPELINE, DATA, n_requests=1)["data.valid"]
    joined = rk.preflight(PIPELINE, DATA, n_requests=1, impressions=shown)["data.valid"]
    assert joined.message != plain.message
    assert "labels.joined" not in joined.message
