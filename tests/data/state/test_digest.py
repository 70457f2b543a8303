"""The digest of arrays is remembered as long as the array lives, and forgotten in silence."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np

from recokit.data.state import digest as module

#: An array that outlives the module's names: what forgets its digest runs when those are gone.
AT_THE_END = """
import numpy as np
from recokit.data.state import digest
array = np.arange(5)
digest._of_array(array)
kept, digest._KNOWN = digest._KNOWN, None  # the interpreter clears names first
del array
"""


def test_a_digest_is_forgotten_with_its_array() -> None:
    array = np.arange(1000.0)
    key = id(array)
    assert module._of_array(array) == module._of_array(array.copy())
    assert key in module._KNOWN
    del array
    gc.collect()
    assert key not in module._KNOWN


def test_an_array_that_outlives_the_module_says_nothing_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True)
    assert done.stderr == ""
