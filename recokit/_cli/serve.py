"""``recokit serve``: a model over HTTP, by the standard library alone."""

from __future__ import annotations

import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from recokit._cli.options import Parser, add_model, add_now
from recokit._utils.report import json_ready
from recokit.errors import RecokitError, Unavailable

_EPILOG = """GET /recommend?user=ID&k=10, or POST the same as JSON with history, session, items, exclude,
context, seed, budget_ms; GET /health and /ready. A store is looked at for new versions, and they are swapped in.
No TLS, no keys: examples/service of the sources is a service for the open net."""
#: Bytes of a request at most, and seconds that a client may take to send it.
_LONGEST, _PATIENCE = 1 << 20, 10.0
_OPTIONS = ("history", "session", "items", "exclude", "context", "seed", "budget_ms")


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary, epilog=_EPILOG)
    add_model(made)
    made.add_argument("--host", default="127.0.0.1", help="127.0.0.1 by default: this machine only")
    made.add_argument("--port", type=int, default=8000, help="8000 by default; 0 takes a free one")
    made.add_argument(
        "--budget-ms", type=float, default=100.0, metavar="MS", help="of a request, 100 by default"
    )
    add_now(made)
    return made


def run(options: Any) -> int:
    """Serve until a signal comes; then finish what runs."""
    from recokit._cli.inputs import is_store, model, request_time, store
    from recokit._cli.output import note, print_json
    from recokit.serving.precomputed import Precomputed
    from recokit.serving.service import Service

    pipeline = model(options.model, options.trust)
    models = store(options.model, options.trust) if is_store(options.model) else pipeline
    now = None if options.now in (None, "now") else request_time(options.now, pipeline)
    ahead = Precomputed.of(pipeline, now=now)
    service = Service(models, fallback=ahead, budget_ms=options.budget_ms).start()
    try:
        server = Server((options.host, options.port), service, now, pipeline.schema.user_ids.kind == "int")
        _stop_at_signal(server)
        where = f"http://{options.host}:{server.server_address[1]}"
        if options.json:
            print_json({"url": where})
        else:
            print(f"serving {service.fingerprint} at {where}/recommend?user=", flush=True)
        server.serve_forever(poll_interval=0.1)
        note("draining")
        service.drain()
        server.server_close()
    finally:
        service.stop()
    return 0


def _stop_at_signal(server: Server) -> None:
    """End ``serve_forever`` at SIGTERM and Ctrl-C, from a thread: it cannot wait for itself."""

    def stop(*_: Any) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)


class Server(ThreadingHTTPServer):
    """One service behind a socket."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], service: Any, now: Any, whole: bool) -> None:
        self.service, self.now, self.whole = service, now, whole
        super().__init__(address, _Handler)

    def answer(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return HTTP's status and the body of one request."""
        try:
            user = asked.pop("user", None)
            user = int(user) if self.whole and user not in (None, "") else user or None
            k = int(asked.pop("k", 10))
        except (TypeError, ValueError):
            return 400, {"error": "found a user or k that is no whole number"}
        unknown = [name for name in asked if name not in _OPTIONS]
        if unknown:
            return 400, {"error": f"found {unknown[0][:60]!r}; expected user, k, {', '.join(_OPTIONS)}"}
        try:
            answer = self.service.recommend_now(user, k, now=self.now, **asked)
        except Unavailable as error:
            return 503, {"error": str(error), "retry_after": error.retry_after}
        except (RecokitError, TypeError, ValueError) as error:
            return 400, {"error": str(error)}
        told = {"user": answer.user, "status": answer.status.name, "source": answer.source}
        return 200, {**told, "fingerprint": answer.fingerprint, "items": answer.to_records()}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = _PATIENCE
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "recokit", ""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            self._send(200, self.server.service.health())
        elif url.path == "/ready":
            ready = self.server.service.ready
            self._send(200 if ready else 503, {"ready": ready})
        elif url.path == "/recommend":
            self._send(*self.server.answer(dict(parse_qsl(url.query))))
        else:
            self._send(404, {"error": "expected /recommend, /health or /ready"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST:
            self.close_connection = True
            self._send(413 if length.isdecimal() else 411, {"error": f"expected at most {_LONGEST} bytes"})
            return
        body = self.rfile.read(int(length))
        if urlsplit(self.path).path != "/recommend":
            self._send(404, {"error": "expected /recommend"})
            return
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            self._send(400, {"error": "expected a JSON object"})
            return
        self._send(*self.server.answer(asked))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(json_ready(body), allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if "retry_after" in body:
            self.send_header("Retry-After", str(max(1, round(body["retry_after"]))))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing for each request: the service counts them."""
