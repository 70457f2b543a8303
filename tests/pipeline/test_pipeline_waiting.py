"""Sources that wait for others: places for calls that hang, time limits without a budget, texts of errors in logs."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.errors import ConfigurationError
from recokit.trace import Status


@pytest.fixture(scope="module")
def data():
    return rk.testing.toy_dataset()


def lists(requests, limit):
    return [[101, 102, 103][:limit]] * len(requests)


def test_a_healthy_source_serves_any_number_of_threads(data):
    def slow(requests, limit):
        time.sleep(0.03)
        return lists(requests, limit)

    pipeline = rk.Pipeline([candidates.FromFunction(slow, io_bound=True)]).fit(data)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: pipeline.recommend([None], k=3), range(96)))
    assert {int(answer.status[0]) for answer in answers} == {int(Status.OK)}


def test_a_source_that_hangs_is_waited_for_so_long_without_a_budget(data):
    release = threading.Event()

    def hangs(requests, limit):
        release.wait(60)
        return lists(requests, limit)

    source = candidates.FromFunction(hangs, io_bound=True)
    pipeline = rk.Pipeline([source], fallback=candidates.Popular(), io_timeout=0.1, max_hanging=2).fit(data)
    started = time.perf_counter()
    answers = [pipeline.recommend([None], k=3) for _ in range(3)]
    assert time.perf_counter() - started < 20
    assert [answer.status[0] for answer in answers] == [Status.FALLBACK] * 3
    assert "after 100 ms" in answers[0].reasons[0][0]
    assert "2 calls of" in answers[2].reasons[0][0]
    assert len(answers[0].ids(0)) == 3
    release.set()


def test_the_limits_are_kept_by_copies_and_on_disk(data, tmp_path):
    pipeline = rk.Pipeline([candidates.Popular()], io_timeout=3.0, max_hanging=5).fit(data)
    pipeline.save(tmp_path / "model")
    for other in (pipeline.with_events(data), rk.Pipeline.load(tmp_path / "model")):
        assert (other.io_timeout, other.max_hanging) == (3.0, 5)
    assert rk.Pipeline.load(tmp_path / "model", io_timeout=1.0).io_timeout == 1.0
    assert rk.Pipeline([candidates.Popular()]).io_timeout == 10.0
    for wrong in ({"io_timeout": 0}, {"io_timeout": float("inf")}, {"max_hanging": 0}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            rk.Pipeline([candidates.Popular()], **wrong)


def test_a_source_that_leaves_the_process_degrades_its_rows(data):
    def leaves(requests, limit):
        raise SystemExit(1)

    pipeline = rk.Pipeline(
        [candidates.FromFunction(leaves, io_bound=True)], fallback=candidates.Popular()
    ).fit(data)
    answer = pipeline.recommend([None], k=3)
    assert answer.status[0] == Status.FALLBACK and "SystemExit" in answer.reasons[0][0]


FORGED = "disk full\nCRITICAL root: logged in as admin\r\x1b[2K\u2028more\x00"


def test_the_text_of_an_error_writes_no_line_of_its_own(data, caplog):
    class Broken:
        def observe(self, trace):
            raise OSError(FORGED)

    fitted = []

    def fails(requests, limit):
        if fitted:
            raise ValueError(FORGED)
        return lists(requests, limit)

    pipeline = rk.Pipeline(
        [candidates.FromFunction(fails)], fallback=candidates.Popular(), observers=[Broken()]
    ).fit(data)
    fitted.append(True)
    with caplog.at_level(logging.DEBUG, "recokit"):
        answer = pipeline.recommend([None], k=3)
    (record,) = [record for record in caplog.records if "Broken" in record.getMessage()]
    text = logging.Formatter("%(message)s").format(record)
    assert "disk full CRITICAL root: logged in as admin" in text and text.isprintable()
    assert answer.reasons[0][0].isprintable() and "logged in" in answer.reasons[0][0]
    assert all(event.error.isprintable() for event in answer.trace.events)


# -- fingerprints -------------------------------------------------------------------------------------


class TestFingerprint:
    def fitted(self, data, **options):
        return rk.Pipeline([candidates.EASE(**options)]).fit(data)

    def test_it_covers_what_was_learned(self, data):
        pipeline = self.fitted(data)
        assert pipeline.fingerprint == self.fitted(data).fingerprint
        assert pipeline.fingerprint != self.fitted(data, regularization=3.0).fingerprint
        for name, value in vars(pipeline["ease"]).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
                changed = value.copy()
                changed.flat[0] += 1
                other = self.fitted(data)
                setattr(other["ease"], name, changed)
                assert pipeline.replace("ease", other["ease"]).fingerprint != pipeline.fingerprint, name

    def test_events_that_change_the_weights_alone_change_it(self, data):
        log = data.interactions
        other = rk.testing.toy_dataset()
        object.__setattr__(other.interactions, "item", np.roll(log.item, 1))
        assert self.fitted(other).fingerprint != self.fitted(data).fingerprint

    def test_a_loaded_model_has_that_of_the_one_that_was_saved(self, data, tmp_path):
        pipeline = rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()])]).fit(data)
        pipeline.save(tmp_path / "model")
        loaded = rk.Pipeline.load(tmp_path / "model")
        assert loaded.fingerprint == pipeline.fingerprint
        assert loaded.recommend([None]).fingerprint == pipeline.fingerprint

    def test_stages_that_cannot_be_saved_have_one(self, data):
        pipeline = rk.Pipeline([candidates.FromFunction(lists)]).fit(data)
        assert len(pipeline.fingerprint) == 16

    def test_live_values_do_not_change_it(self, data):
        stock = rk.data.Live(np.ones(data.n_items + 1))
        pipeline = rk.Pipeline([candidates.Popular(), rk.rules.InStock(stock)]).fit(data)
        before = pipeline.fingerprint
        stock.set(np.zeros(data.n_items + 1))
        assert pipeline.with_events(data).fingerprint == before
