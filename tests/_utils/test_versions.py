import numpy as np

import recokit
from recokit._native import library


def test_versions_name_the_kernels(capsys):
    recokit.show_versions()
    lines = capsys.readouterr().out.splitlines()
    assert f"numpy: {np.__version__}" in lines
    assert f"kernels: {library.level()}" in lines
