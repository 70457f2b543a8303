"""Artifacts: published whole or not at all, by several at once, and shared in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.errors import ConfigurationError, DataError, GateRejected
from recokit.serving import Artifacts, Golden, ListCache, Precomputed, Service

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data():
    return rk.testing.toy_dataset()


@pytest.fixture(scope="module")
def old(data):
    return rk.Pipeline([candidates.Popular(half_life="30D"), rules.NotOwned()]).fit(data)


@pytest.fixture(scope="module")
def new(data):
    return rk.Pipeline([candidates.Popular(half_life="20D"), rules.NotOwned()]).fit(data)


@pytest.fixture(params=["folder", "elsewhere"])
def models(request, tmp_path):
    if request.param == "folder":
        return Artifacts(tmp_path / "models")
    return Artifacts(f"memory://{tmp_path.name}", cache=tmp_path / "cache")


def names(models):
    return [version.name for version in models.versions()]


def test_what_is_published_is_loaded(models, old, new):
    assert models.current is None and models.versions() == ()
    first = models.publish(old)
    assert models.current == first and models.load().fingerprint == old.fingerprint == first.fingerprint
    assert first.name.startswith("000001-") and first.golden is None
    assert first.fitted_until == old.fitted_until and abs(first.published_at - time.time()) < 60
    second = models.publish(new)
    assert models.current == second and second.name.startswith("000002-")
    assert models.load().fingerprint == new.fingerprint
    assert models.load(first.name).fingerprint == old.fingerprint
    assert models.versions() == (first, second)


def test_lists_are_those_of_the_pipeline(models, old):
    models.publish(old)
    asked = {"users": ["user-1", None], "now": old.fitted_until}
    loaded = models.load().recommend(**asked)
    assert [loaded.ids(0), loaded.ids(1)] == [old.recommend(**asked).ids(row) for row in range(2)]


def test_rollback_goes_to_what_served_before_and_not_back_to_what_it_left(models, old, new):
    first, second = models.publish(old), models.publish(new)
    third = models.publish(old)
    start = time.monotonic()
    assert models.rollback() == second and models.current == second
    assert time.monotonic() - start < 1.0
    assert models.rollback() == first
    with pytest.raises(DataError, match=f"found no version before {first.name}"):
        models.rollback()
    assert models.rollback(third.name) == third  # forward again: what served meanwhile is the one before
    assert models.rollback() == first
    assert models.rollback(third.name) == third
    with pytest.raises(DataError, match="found no version 'x'"):
        models.rollback("x")
    assert models.current == third
    fourth = models.publish(new)
    assert models.rollback() == third != fourth


def test_rollback_without_a_version_says_so(models):
    with pytest.raises(DataError, match="expected one; hint: publish"):
        models.rollback()
    with pytest.raises(DataError, match="expected one; hint: publish"):
        models.load()
    with pytest.raises(DataError, match="expected a name such as"):
        models.load("../../etc")
    with pytest.raises(DataError, match="found no version 000009-00000000"):
        models.load("000009-00000000")


def test_the_newest_are_kept_and_what_rollback_needs(tmp_path, old):
    models = Artifacts(tmp_path, keep=2)
    published = [models.publish(old) for _ in range(4)]
    assert names(models) == [one.name for one in published[-2:]]
    models.rollback()
    assert names(models) == [one.name for one in published[-2:]]
    last = models.publish(old)
    # The two newest, and the one that served before: the bad one is newer than it.
    assert names(models) == [published[-2].name, published[-1].name, last.name]
    assert models.rollback() == published[-2]
    assert Artifacts(tmp_path).keep == 3


def test_one_kept_is_the_one_that_serves_and_the_one_before(tmp_path, old):
    models = Artifacts(tmp_path, keep=1)
    for _ in range(3):
        models.publish(old)
    assert len(names(models)) == 2 and models.rollback().name == names(models)[0]


def test_a_bad_model_is_refused_and_nothing_changes(tmp_path, old, data):
    models = Artifacts(tmp_path, golden=Golden.of(old, users=20))
    first = models.publish(old)
    assert first.golden is not None and first.golden["passed"] and first.golden["overlap"] == 1.0
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(GateRejected, match="hard rule not_owned is gone"):
        models.publish(old.without("not_owned"))
    assert models.current == first and sorted(tmp_path.rglob("*")) == before


def test_the_questions_are_asked_of_what_was_read_back(tmp_path, old, monkeypatch):
    asked, check = [], Golden.check
    monkeypatch.setattr(
        Golden, "check", lambda self, pipeline: asked.append(pipeline) or check(self, pipeline)
    )
    Artifacts(tmp_path, golden=Golden.of(old, users=3)).publish(old)
    assert len(asked) == 1 and asked[0] is not old and asked[0].fingerprint == old.fingerprint


class Forgetful:
    """A stage that does not keep what it learns where it would be saved."""

    def __init__(self):
        self.learned_ = 0

    def fit(self, dataset):
        self.learned_ = len(dataset.interactions)
        return self

    def state(self):
        return {"n": self.learned_}

    def load_state(self, state):
        self.learned_ = 0

    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)


def test_a_stage_that_does_not_come_back_as_it_was_is_refused(tmp_path, data):
    pipeline = rk.Pipeline([candidates.Popular(), Forgetful()]).fit(data)
    with pytest.raises(DataError, match="after reading back a pipeline of fingerprint"):
        Artifacts(tmp_path, trusted=[Forgetful]).publish(pipeline)
    assert Artifacts(tmp_path).current is None


@pytest.mark.parametrize("file", ["arrays.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_an_altered_file_is_found_before_it_is_used(tmp_path, old, file, how):
    models = Artifacts(tmp_path)
    path = tmp_path / "versions" / models.publish(old).name / "model" / file
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content if how == "flipped" else content[: len(content) // 2])
    with pytest.raises(DataError):
        models.load()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2, "version": "000001-0a1b2c3d", "before": []}',
     '{"format": 1, "version": "../evil", "before": []}', '{"format": 1, "version": "000001-0a1b2c3d", "before": 3}'],
    ids=["empty", "list", "keys", "format", "path", "before"],
)  # fmt: skip
def test_a_damaged_pointer_is_said(tmp_path, old, content):
    models = Artifacts(tmp_path)
    models.publish(old)
    (tmp_path / "current.json").write_text(content)
    with pytest.raises(DataError, match="found a damaged pointer"):
        models.load()


def test_files_of_a_version_are_read_only(tmp_path, old):
    Artifacts(tmp_path).publish(old)
    files = [path for path in (tmp_path / "versions").rglob("*") if path.is_file()]
    assert len(files) == 4 and {path.stat().st_mode & 0o777 for path in files} == {0o444}


@pytest.mark.parametrize("step", ["add", "point"])
def test_a_writer_that_dies_between_steps_leaves_the_old_version(tmp_path, old, new, monkeypatch, step):
    models = Artifacts(tmp_path)
    first = models.publish(old)

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(models._place, step, dies)
        with pytest.raises(KeyboardInterrupt):
            models.publish(new)
    assert models.current == first and models.load().fingerprint == old.fingerprint
    second = models.publish(new)
    assert models.current == second and models.rollback() == first


_KILLED = """
import os, resource, signal, sys, warnings
import numpy as np
import recokit as rk
from recokit.serving import Artifacts

folder, n, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = rk.testing.toy_dataset()
old, new = (
    rk.Pipeline([rk.candidates.Popular(half_life=half), rk.rules.NotOwned()])
    .fit(data) for half in ("30D", "20D"))
models = Artifacts(folder)
first = models.publish(old)
largest = max(path.stat().st_size for path in models._place._versions.rglob("*") if path.is_file())
killed = 0
for limit in np.random.default_rng(seed).integers(0, largest, n).tolist():
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # dies at the first byte beyond the limit of a file
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        models.publish(new)
        os._exit(0)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    current = models.current
    assert current == first, (limit, current)
    loaded = models.load()
    assert loaded.fingerprint == old.fingerprint
    assert loaded.recommend(["user-1"], now=data.until).ids(0)
assert killed == n, killed
second = models.publish(new)
assert models.current == second and models.load().fingerprint == new.fingerprint
left = sorted(path.name for path in models._place._path.iterdir())
assert left == ["current.json", "versions"], left
assert len(models.versions()) == 2
print("whole")
"""


@pytest.mark.parametrize("n", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_writer_killed_at_a_random_byte_changes_nothing(tmp_path, n):
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "models"), str(n), "7"],
        capture_output=True, text=True, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout == "whole\n", done.stderr[-2000:]


def test_publishers_at_the_same_time_leave_whole_versions(tmp_path, old, new):
    errors = []
    readers_done = threading.Event()

    def publish(pipeline):
        try:
            for _ in range(4):
                Artifacts(tmp_path, keep=4).publish(pipeline)
        except Exception as error:
            errors.append(error)

    def read():
        reader = Artifacts(tmp_path)
        while not readers_done.is_set():
            try:
                assert reader.load().fingerprint in (old.fingerprint, new.fingerprint)
            except Exception as error:
                errors.append(error)

    Artifacts(tmp_path).publish(old)
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=publish, args=(pipeline,)) for pipeline in (old, new, old)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    readers_done.set()
    reader.join()
    assert not errors, errors
    models = Artifacts(tmp_path)
    numbers = [int(name[:6]) for name in names(models)]
    assert numbers == sorted(set(numbers)) and numbers[-1] == 13 and len(numbers) == 4
    assert models.current == models.versions()[-1]
    for version in models.versions():
        assert models.load(version.name).fingerprint == version.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current.json", "versions"]


def test_a_reader_whose_version_goes_meanwhile_takes_the_next(tmp_path, old, new, monkeypatch):
    models = Artifacts(tmp_path)
    first = models.publish(old)
    fetch = models._place.fetch

    def gone(name):
        if name == first.name:
            Artifacts(tmp_path).publish(new)
            models._place.remove(first.name)
        return fetch(name)

    monkeypatch.setattr(models._place, "fetch", gone)
    assert models.load().fingerprint == new.fingerprint


_SHARED = """
import json, re, sys
import recokit as rk
from recokit.serving import Artifacts

def own():
    text = open("/proc/self/smaps_rollup").read()
    return sum(int(re.search(rf"^{name}: +([0-9]+)", text, re.M)[1]) for name in ("Private_Clean", "Private_Dirty"))

models = Artifacts(sys.argv[1])
import recokit.candidates.history, scipy.sparse, safetensors.numpy  # what loading imports is no array
models.load(sys.argv[2]).recommend([1], now=1e9)
before = own()
pipeline = models.load()  # reads all of them, for the checksums
print(json.dumps(own() - before), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")
def test_a_second_worker_shares_the_arrays(tmp_path):
    def fitted(n_factors):
        return rk.Pipeline([candidates.IALS(n_factors=n_factors, n_iterations=1)]).fit(events)

    rng = np.random.default_rng(0)
    log = {"user_id": rng.integers(0, 20_000, 60_000), "item_id": rng.integers(0, 20_000, 60_000)}
    events = rk.Dataset.from_frame({**log, "timestamp": np.sort(rng.uniform(0, 1e9, 60_000))})
    models = Artifacts(tmp_path)
    small, large = models.publish(fitted(4)), models.publish(fitted(128))
    arrays = (tmp_path / "versions" / large.name / "model" / "arrays.safetensors").stat().st_size / 1024
    command = [sys.executable, "-c", _SHARED, str(tmp_path), small.name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        added = [json.loads(worker.stdout.readline()) for worker in (one, two)]
        one.stdin.close()
        two.stdin.close()
    assert arrays > 9_000 and min(added) < 0.2 * arrays, (added, arrays)


def test_what_one_reader_writes_is_its_own(tmp_path, old):
    from recokit.data.state.folder import load_state, save_state

    save_state(tmp_path / "state", {"a": np.arange(5.0)})
    mapped, _ = load_state(tmp_path / "state", mapped=True)
    mapped["a"][0] = 9.0
    assert load_state(tmp_path / "state", mapped=True)[0]["a"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_elsewhere_versions_are_copied_once(tmp_path, old, new):
    url = f"memory://{tmp_path.name}"
    Artifacts(url, cache=tmp_path / "a").publish(old)
    reader = Artifacts(url, cache=tmp_path / "b")
    assert reader.load().fingerprint == old.fingerprint
    name = reader.current.name
    files = reader._place._files
    files.rm(f"{reader._place._path}/versions/{name}/model", recursive=True)
    assert reader.load().fingerprint == old.fingerprint  # from the copy
    with pytest.raises(DataError):
        Artifacts(url, cache=tmp_path / "c").load()


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("memory://x", {}, "expected a folder of this machine for the copies"),
        ("x", {"cache": "y"}, "and none for what lies here"),
        ("nosuch://x", {"cache": "y"}, "that fsspec does not open"),
        ("x", {"keep": 0}, "keep=0"),
        ("x", {"keep": 1.5}, "keep=1.5"),
    ],
    ids=["no-cache", "cache", "protocol", "keep-0", "keep-half"],
)
def test_impossible_options_are_refused(path, options, told):
    with pytest.raises(ConfigurationError, match=told):
        Artifacts(path, **options)


def test_repr_has_what_was_given(tmp_path):
    assert repr(Artifacts("models")) == "Artifacts('models', keep=3)"
    assert not os.path.exists("models")  # made when it is written


def test_a_service_of_versions_follows_the_pointer_and_tells_reasons(tmp_path, data):
    stages = [
        candidates.Popular(),
        features.Standard(),
        rankers.GradientBoosting(n_estimators=3),
        rules.Reasons(),
    ]
    pipeline = rk.Pipeline(stages).fit(data, label_window="14D")
    models = Artifacts(tmp_path)
    first = models.publish(pipeline)
    ahead = Precomputed.of(pipeline, k=20, now=data.until)
    service = Service(models, fallback=ahead, budget_ms=30_000.0, lists=ListCache(), poll=60.0).start()
    try:
        asked = {"user": "user-1", "now": data.until}
        answers = [service.recommend_now(**asked) for _ in range(2)]
        assert [answer.source for answer in answers] == ["model", "cached"]
        reasons = [[record["reasons"] for record in answer.to_records()] for answer in answers]
        assert "feature." in reasons[0][0] and "source.popular" in reasons[1][0]
        second = models.publish(pipeline)
        assert service.refresh() and service.health()["version"] == second.name
        models.rollback()
        assert service.refresh() and service.health()["version"] == first.name
        assert not service.refresh()
    finally:
        service.stop()
