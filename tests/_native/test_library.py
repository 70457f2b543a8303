import os
import subprocess
import sys

import pytest

from recokit._native import compile as compiling, library
from recokit.errors import ConfigurationError

#: No compiler and no wheel: the machine that the numpy form of each kernel is for.
needs_kernels = pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")


def in_a_process(wish, code):
    environment = {**os.environ, "RECOKIT_NATIVE": wish}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@needs_kernels
def test_the_level_is_one_that_was_compiled():
    assert library.level() in compiling.LEVELS[compiling.machine()]


def test_zero_runs_numpy_alone():
    answer = in_a_process(
        "0", "from recokit._native import library; print(library.level(), library.kernels())"
    )
    assert answer.stdout.split() == ["numpy", "None"]


@needs_kernels
def test_require_is_content_with_compiled_kernels():
    answer = in_a_process("require", "from recokit._native import library; print(library.level())")
    assert answer.stdout.strip() == library.level()


def test_require_without_compiled_kernels_is_an_error():
    code = "from recokit._native import library; library.levels = lambda: (); library.kernels()"
    answer = in_a_process("require", code)
    assert "ConfigurationError: RECOKIT_NATIVE=require, and found no compiled kernels for" in answer.stderr


def test_a_folder_without_libraries_is_an_error(tmp_path):
    answer = in_a_process(str(tmp_path), "from recokit._native import library; library.kernels()")
    assert f"found no compiled kernels for {compiling.machine()} in {tmp_path}" in answer.stderr


@pytest.mark.parametrize(("status", "error"), [(-1, MemoryError), (-2, IndexError)])
def test_a_status_of_a_kernel_is_an_error(status, error):
    with pytest.raises(error):
        library.check(status)


@pytest.mark.skipif(compiling.own_compiler() is None, reason="no C compiler on this machine")
def test_kernels_of_other_declarations_are_refused(tmp_path):
    compiling.compile_kernels(tmp_path, flags=["-O1", "-URK_DECLARATIONS", "-DRK_DECLARATIONS=1"])
    answer = in_a_process(str(tmp_path), "from recokit._native import library; library.kernels()")
    assert answer.returncode == 1 and "of other declarations; expected those of this version" in answer.stderr


@pytest.mark.skipif(compiling.own_compiler() is None, reason="no C compiler on this machine")
def test_kernels_without_declarations_are_refused(monkeypatch):
    monkeypatch.setattr(library, "ffi", lambda: type("Old", (), {"dlopen": lambda self, path: object()})())
    with pytest.raises(ConfigurationError, match="make native"):
        library.load(compiling.LEVELS[compiling.machine()][-1])


@pytest.mark.skipif(compiling.own_compiler() is None, reason="no C compiler on this machine")
def test_compiling_makes_one_library_a_level(tmp_path):
    libraries = compiling.compile_kernels(tmp_path, flags=["-O1", "-Werror"])
    assert [path.name.split(".")[0] for path in libraries] == [
        f"kernels_{level}" for level in compiling.LEVELS[compiling.machine()]
    ]
    assert sorted(tmp_path.iterdir()) == sorted(libraries)
    answer = in_a_process(str(tmp_path), "from recokit._native import library; print(library.level())")
    assert answer.stdout.strip() in compiling.LEVELS[compiling.machine()]


def test_every_function_of_the_header_is_in_the_library():
    lib = library.kernels()
    if lib is None:
        pytest.skip("no compiled kernels on this machine")
    declared = [name for name in dir(lib) if name.startswith("rk_")]
    assert declared
    for name in declared:
        assert callable(getattr(lib, name))


def test_threads_that_come_first_together_share_one_set_of_declarations():
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
barrier, found = threading.Barrier(8), []
def first():
    barrier.wait()
    from recokit._native import arrays, library
    found.append((id(library.ffi()), arrays.ffi is library.ffi))
threads = [threading.Thread(target=first) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(found), len(set(found)))
"""
    assert in_a_process("", code).stdout.split() == ["8", "1"]
