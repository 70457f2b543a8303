"""Saving over a state: readers always find one, whole; killed writers leave nothing that stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from recokit.data.state.commit import drafts
from recokit.data.state.folder import load_state, save_state

N = 20_000


def model(version):
    return {"version": version, "weights": np.full(N, version)}


def test_a_reader_finds_one_whole_state_at_any_moment(tmp_path):
    save_state(tmp_path / "model", model(0))
    stop, seen, wrong = threading.Event(), set(), []

    def read():
        while not stop.is_set():
            try:
                state, extra = load_state(tmp_path / "model")
                seen.add(state["version"])
                if set(state["weights"].tolist()) != {state["version"]} or extra != {"n": state["version"]}:
                    wrong.append((state["version"], extra))
            except Exception as error:  # of any kind: there is a model at every moment
                wrong.append(error)

    save_state(tmp_path / "model", model(0), {"n": 0})
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(1, 40):
        save_state(tmp_path / "model", model(version), {"n": version})
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert len(list((tmp_path / "model").iterdir())) == 3


def test_writers_at_once_leave_one_whole_state(tmp_path):
    for folder in ("new", "held"):
        if folder == "held":
            save_state(tmp_path / folder, model(-1))
        errors = []

        def write(version, folder=folder, errors=errors):
            try:
                save_state(tmp_path / folder, model(version))
            except Exception as error:
                errors.append(error)

        writers = [threading.Thread(target=write, args=(version,)) for version in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert errors == []
        state, _ = load_state(tmp_path / folder)
        assert set(state["weights"].tolist()) == {state["version"]}
        assert not drafts(tmp_path, folder) and not drafts(tmp_path / folder, "draft")


KILLED = """
import os, sys
from recokit.data.state import folder
import numpy as np
real, left = os.replace, int(sys.argv[2])
def replace(source, target):
    global left
    if left == 0:
        os.kill(os.getpid(), 9)
    left -= 1
    real(source, target)
os.replace = replace
folder.save_state(sys.argv[1], {"version": 1, "weights": np.full(20_000, 1)})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("held", [False, True])
def test_a_killed_writer_leaves_the_old_state_and_nothing_that_stays(tmp_path, steps, held):
    if held:
        save_state(tmp_path / "model", model(0))
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "model"), str(steps)], check=False)
    if held or done.returncode == 0:
        state, _ = load_state(tmp_path / "model")
        assert state["version"] == (0 if done.returncode else 1)
        assert set(state["weights"].tolist()) == {state["version"]}
    save_state(tmp_path / "model", model(2))
    assert load_state(tmp_path / "model")[0]["version"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert len(list((tmp_path / "model").iterdir())) == 3


def test_drafts_of_writers_before_are_removed_and_those_of_others_are_not(tmp_path):
    names = ["." + "model." + "a" * 32, ".model." + "b" * 32 + ".old", ".other." + "c" * 32, ".model.backup"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text("{}")
    save_state(tmp_path / "model", model(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.backup", names[2], "model"]


def test_a_draft_that_is_written_now_is_left_alone(tmp_path, monkeypatch):
    """Another writer's draft, locked as long as it lives."""
    from recokit.data.state import folder

    held, go = threading.Event(), threading.Event()
    real = folder._write

    def slow(draft, *args, **options):
        names = real(draft, *args, **options)
        if threading.current_thread() is first:
            held.set()
            go.wait(30)
        return names

    monkeypatch.setattr(folder, "_write", slow)
    first = threading.Thread(target=save_state, args=(tmp_path / "model", model(1)))
    first.start()
    assert held.wait(30)
    save_state(tmp_path / "model", model(2))
    assert len(drafts(tmp_path, "model")) == 1
    go.set()
    first.join()
    assert load_state(tmp_path / "model")[0]["version"] == 1  # the last to finish
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_state_behind_a_link_is_replaced_where_it_lies(tmp_path):
    save_state(tmp_path / "v1", model(1))
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    save_state(tmp_path / "current", model(2))
    assert (tmp_path / "current").is_symlink()
    assert load_state(tmp_path / "v1")[0]["version"] == 2


def test_the_manifest_is_read_again_where_its_files_are_gone(tmp_path, monkeypatch):
    """A reader who read the manifest just before another state was saved."""
    from recokit.data.state import folder

    save_state(tmp_path / "model", model(1))
    old = (tmp_path / "model" / "manifest.json").read_text()
    save_state(tmp_path / "model", model(2))
    texts = iter([old])
    real = folder._manifest_text
    monkeypatch.setattr(folder, "_manifest_text", lambda path: next(texts, None) or real(path))
    assert load_state(tmp_path / "model")[0]["version"] == 2


def test_files_of_a_state_saved_over_are_named_by_their_content(tmp_path):
    save_state(tmp_path / "model", model(1))
    save_state(tmp_path / "model", model(2))
    files = json.loads((tmp_path / "model" / "manifest.json").read_text())["files"]
    for about in files.values():
        assert about["sha256"][:16] in about["file"]
        assert os.stat(tmp_path / "model" / about["file"]).st_size == about["bytes"]


def test_loading_takes_no_second_copy(tmp_path):
    """The arrays are views of the file's bytes."""
    import tracemalloc

    save_state(tmp_path / "model", np.ones(4_000_000))
    tracemalloc.start()
    started = time.perf_counter()
    loaded, _ = load_state(tmp_path / "model")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert loaded.sum() == 4_000_000 and time.perf_counter() - started < 30
    assert peak < 1.2 * loaded.nbytes
