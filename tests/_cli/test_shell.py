"""What a shell sees: closed pipes, Ctrl-C, broken files, wrong paths, and how soon help is there."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import recokit

ROOT = Path(recokit.__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(line: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "recokit", *line.split()]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE, **options)


def test_help_starts_fast():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = []
    for _ in range(3):
        subprocess.run(
            [sys.executable, "-m", "recokit", "--help"], env=ENVIRONMENT, check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        before = after
    assert min(times) <= 0.3


def test_help_of_a_command_loads_no_array_library():
    code = (
        "import sys; from recokit._cli.main import main; main(['fit', '-h']); print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_a_closed_pipe_is_no_traceback(shop):
    with start("recommend model - --json", cwd=shop, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        run.stdout.close()  # the reader is gone, as `| head -0` is
        run.stdin.write("user-1\n" * 3000)
        run.stdin.close()
        assert run.stderr.read() == ""
        assert run.wait(60) == 141


def test_ctrl_c_while_it_waits_for_input(shop):
    with start("recommend model -", cwd=shop, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        time.sleep(5)  # until it has loaded and waits
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert err == "recokit: interrupted\n"


BROKEN = [
    ("validate missing.csv", 2, "found no file 'missing.csv'"),
    ("validate events.txt", 2, "expected FILE.py or a module"),
    ("recommend missing user-1", 2, "found no model at 'missing'"),
    ("recommend model", 2, "USER"),
    ("recommend model user-1 -k 0", 2, "from 1 on"),
    ("bench damaged", 3, "damaged"),
    ("validate short.csv", 3, "found 2 cells in line 3 of short.csv; expected 3"),
    ("validate empty.csv", 3, "found no line in empty.csv"),
    ("validate latin.csv", 3, "not UTF-8"),
    ("validate lines.jsonl", 3, "line 2 of lines.jsonl"),
    ("validate names.csv", 3, "timestamp"),
    ("validate events.csv --column user_id", 2, "expected NAME=VALUE"),
    ("validate events.csv --limit max_agee=1D", 3, "max_age"),
    ("validate shop_code.py --items items.csv", 2, "found --items beside shop_code.py"),
    ("fit shop_code.py --out x --windows some", 2, "invalid int value"),
    ("fit shop_code.py:broken events.csv --out x", 3, "line 26 of shop_code.py: 'no such column'"),
    ("fit shop_code.py:nothing events.csv --out x", 3, "found NoneType from shop_code.py:nothing"),
    ("fit shop_code.py:make_pipe events.csv --out x", 2, "make_pipeline"),
    ("fit syntax.py events.csv --out x", 3, "SyntaxError in line 2 of syntax.py"),
    ("fit clash/json.py events.csv --out x", 2, "named like the module"),
    ("evaluate model events.csv --until 2025-01-20", 3, "test part"),
    ("publish model store --new-golden", 2, "--golden FOLDER"),
]


@pytest.fixture(scope="module")
def broken(shop):
    """Return the shop's folder with files that are broken, each in one way."""
    files = {
        "short.csv": "user_id,item_id,timestamp\n1,2,3\n1,2\n",
        "empty.csv": "",
        "lines.jsonl": '{"user_id": 1}\n[1]\n',
        "names.csv": "user_id,item_id\n1,2\n",
        "syntax.py": "import os\ndef make_pipeline(:\n",
        "clash/json.py": "",
        "events.txt": "",
    }
    (shop / "clash").mkdir()
    for name, text in files.items():
        (shop / name).write_text(text, encoding="utf-8")
    (shop / "latin.csv").write_bytes("user_id,item_id,timestamp\nJosé,1,2\n".encode("latin-1"))
    (shop / "damaged").mkdir()
    for file in (shop / "model").iterdir():
        (shop / "damaged" / file.name).write_bytes(file.read_bytes()[:-9])
    return shop


@pytest.mark.parametrize(("line", "code", "said"), BROKEN, ids=[line for line, _, _ in BROKEN])
def test_what_is_wrong_is_said_in_one_line(line, code, said, broken, run):
    found, out, err = run(line)
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_traceback_on_request(broken, run):
    code, _, err = run("fit shop_code.py:broken events.csv --out x --traceback")
    assert code == 3
    assert "Traceback" in err and "KeyError" in err


@pytest.fixture
def server(shop):
    line = "serve model --port 0 --now 2025-01-31 --json --budget-ms 2000"
    with start(line, cwd=shop, stdout=subprocess.PIPE) as run:
        told = run.stdout.readline()
        assert told, run.stderr.read()
        yield run, json.loads(told)["url"]
        run.kill()


def ask(url: str, body: bytes | None = None) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(url, body, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_serve(server, shop):
    run, url = server
    pipeline = recokit.Pipeline.load(shop / "model")
    expected = pipeline.recommend(["user-3"], 4, now="2025-01-31").ids(0)
    status, told = ask(f"{url}/recommend?user=user-3&k=4")
    assert status == 200
    assert [item["item_id"] for item in told["items"]] == expected
    body = json.dumps({"user": "user-3", "k": 4, "exclude": expected[:1]}).encode()
    assert expected[0] not in [item["item_id"] for item in ask(f"{url}/recommend", body)[1]["items"]]
    assert ask(f"{url}/ready")[0] == 200
    assert ask(f"{url}/health")[1]["state"]
    assert [ask(f"{url}/{path}")[0] for path in ("recommend?k=x", "recommend?colour=red", "nowhere")] == [
        400,
        400,
        404,
    ]
    assert ask(f"{url}/recommend", b"[1]")[0] == 400
    assert ask(f"{url}/recommend", b'{"user": "user-3", "k": 0}')[0] == 400
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == 0
