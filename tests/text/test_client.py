"""HttpClient against servers of our own: answers, errors, silence, a byte now and then; caches and logs."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recokit.errors import ConfigurationError, DataError, SourceTimeout, StageError
from recokit.text import AuditLog, Cache, HttpClient
from recokit.text.asking import Asking
from recokit.text.cache import key_of

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body, self.headers.get("Authorization")))
        mode = self.server.mode
        if mode == "hang":
            self.server.stop.wait(5)
            return
        answer = {"choices": [{"message": {"content": '{"text": "hi"}'}, "text": '{"text": "ho"}'}]}
        answer["usage"] = {"prompt_tokens": 7, "completion_tokens": 2}
        sent = {"error": b"{}", "garbage": b"<html>", "huge": b"x" * (1 << 21)}.get(
            mode, json.dumps(answer).encode()
        )
        self.send_response(503 if mode == "error" else 302 if mode == "redirect" else 200)
        if mode == "redirect":
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(10_000 if mode == "trickle" else len(sent)))
        self.end_headers()
        try:
            if mode == "trickle":
                while not self.server.stop.wait(0.05):
                    self.wfile.write(b" ")
                    self.wfile.flush()
            else:
                self.wfile.write(sent)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.mode, server.seen, server.stop = "answer", [], threading.Event()
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/v1/"
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


def test_it_asks_as_servers_expect(server):
    client = HttpClient(server.url, model="m", api_key="secret", timeout="30s")
    assert json.loads(client.complete("hello", SCHEMA)) == {"text": "hi"}
    (path, body, key) = server.seen[0]
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 256)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert key == "Bearer secret"
    assert "secret" not in repr(client)
    assert client.used == {"calls": 1, "prompt": 7, "answer": 2}


def test_base_models_go_on_with_a_prompt(server):
    client = HttpClient(server.url, model="m", endpoint="completions")
    assert json.loads(client.complete("hello", SCHEMA)) == {"text": "ho"}
    assert server.seen[0][1]["prompt"] == "hello"


@pytest.mark.parametrize("mode", ["error", "garbage", "huge", "redirect"])
def test_what_is_no_answer_is_an_error(server, mode):
    server.mode = mode
    with pytest.raises(StageError, match="found"):
        HttpClient(server.url, model="m").complete("hello", SCHEMA)
    assert len(server.seen) == 1  # never asked a second time by itself


@pytest.mark.parametrize("mode", ["hang", "trickle"])
def test_the_wall_clock_limits_a_call(server, mode):
    server.mode = mode
    client = HttpClient(server.url, model="m", timeout=0.4)
    start = time.monotonic()
    with pytest.raises(StageError):
        client.complete("hello", SCHEMA)
    assert 0.35 < time.monotonic() - start < 0.4 * 1.05 + 0.25  # loaded machines; the benchmark holds 1.05


def test_a_dead_server_is_an_error_and_soon_not_asked():
    client = HttpClient("http://127.0.0.1:9", model="m")
    for _ in range(5):
        with pytest.raises(StageError, match=r"no answer.*127"):
            client.complete("hello", SCHEMA)
    with pytest.raises(SourceTimeout, match="not asked"):
        client.complete("hello", SCHEMA)


def test_options_are_checked():
    for options in ({"endpoint": "chat"}, {"max_tokens": 0}, {"timeout": -1.0}):
        with pytest.raises((ConfigurationError, DataError)):
            HttpClient("http://x", model="m", **options)


def test_a_limit_holds_for_any_client():
    class Slow:
        model = "slow"

        def complete(self, prompt, schema, timeout):
            time.sleep(2)
            return "{}"

    start = time.monotonic()
    answer = Asking(Slow(), timeout=0.2)("prompt", SCHEMA)
    assert answer.fields is None
    assert "no answer" in answer.error
    assert time.monotonic() - start < 1.0


def test_a_key_depends_on_all_that_an_answer_depends_on():
    keys = {
        key_of("p", {"a": 1}, "m", "f"),
        key_of("q", {"a": 1}, "m", "f"),
        key_of("p", {"a": 2}, "m", "f"),
        key_of("p", {"a": 1}, "n", "f"),
        key_of("p", {"a": 1}, "m", "g"),
    }
    assert len(keys) == 5
    assert key_of("p", {"a": 1, "b": 2}, "m") == key_of("p", {"b": 2, "a": 1}, "m")


def put_one(path):
    Cache(path).put("child", "yes")


def test_a_cache_is_shared_by_processes_and_survives(tmp_path):
    path = tmp_path / "cache.db"
    cache = Cache(path)
    process = multiprocessing.get_context("spawn").Process(target=put_one, args=(path,))
    process.start()
    process.join()
    assert cache.get("child") == "yes"
    cache.put("child", "no")
    assert Cache(path).get("child") == "no"
    assert len(cache) == 1


def test_a_file_that_is_no_cache_is_said(tmp_path):
    path = tmp_path / "other"
    path.write_text("no database at all, but long enough to look at " * 50)
    with pytest.raises(DataError, match="no cache"):
        Cache(path)


def test_a_log_is_one_object_a_line(tmp_path):
    log = AuditLog(tmp_path / "log", clock=lambda: 1.0)
    assert log.records() == []
    log.add(model="m", prompt='a\n"b', answer=None, verdict="failed")
    log.add(model="m", prompt="c", answer="\u2028", verdict="kept")
    assert [record["prompt"] for record in log.records()] == ['a\n"b', "c"]
    assert len((tmp_path / "log").read_text().split("\n")) == 3
