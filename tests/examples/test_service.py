"""The example service over HTTP: what it answers, whom it refuses, and that it forgets."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager

import pytest

import recokit as rk
from recokit.serving import Artifacts

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

from examples.service import security  # noqa: E402
from examples.service.app import create_app  # noqa: E402
from examples.service.model import make_data, make_pipeline  # noqa: E402
from examples.service.settings import Settings  # noqa: E402
from examples.service.shop import Shop  # noqa: E402

KEY, SECRET = "an-admin-key-of-this-test", "a-token-secret-of-this-test"


@contextmanager
def running(settings, models, data):
    """Run the service in a thread; yields its port."""
    shop = Shop(settings, models, data)
    config = uvicorn.Config(create_app(settings, shop), port=0, log_level="error", server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], shop
    finally:
        server.should_exit = True
        thread.join(20)


class Client:
    """Asks the service as one user."""

    def __init__(self, port, user=None, **headers):
        self.port = port
        self.headers = dict(headers)
        if user:
            self.headers["Authorization"] = f"Bearer {security.signed(user, SECRET)}"

    def ask(self, method, path, body=None, **headers):
        """Return status, headers and what was told."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        more = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, content, {**more, **self.headers, **headers})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        kind = response.headers.get("content-type", "")
        return response.status, response.headers, json.loads(text) if "json" in kind else text.decode()

    def list(self, **options):
        status, _, told = self.ask("GET", "/recommendations?k=10&why=true")
        assert status == 200, told
        return [one["item_id"] for one in told["items"]]


@pytest.fixture(scope="module")
def data():
    return make_data(300, 120)


@pytest.fixture(scope="module")
def pipeline(data):
    return make_pipeline(n_trees=5).fit(data, label_window="14D")


@pytest.fixture(scope="module")
def models(pipeline, tmp_path_factory):
    models = Artifacts(tmp_path_factory.mktemp("models"))
    models.publish(pipeline)
    models.publish(pipeline)
    return models


@pytest.fixture(scope="module")
def service(models, data):
    settings = Settings(
        models=models.path, admin_key=KEY, token_secret=SECRET, rate=1000.0, burst=1000, budget_ms=5_000.0
    )
    with running(settings, models, data) as (port, shop):
        yield port, shop


@pytest.fixture
def port(service):
    return service[0]


@pytest.fixture
def admin(port):
    return Client(port, **{"X-API-Key": KEY})


def eventually(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def problem(answer, status):
    """Check that an answer is a problem of a status, and return its text."""
    found, headers, told = answer
    assert found == status, told
    assert headers["content-type"] == "application/problem+json"
    assert told["status"] == status and told["title"] and "Traceback" not in json.dumps(told)
    return told["detail"]


# -- lists -------------------------------------------------------------------------------------------


def test_a_list_has_titles_prices_and_reasons_only_if_asked(port):
    status, headers, told = Client(port, "user-7").ask("GET", "/recommendations?k=5&why=true")
    assert status == 200 and len(told["items"]) == 5 and told["status"] == "OK"
    assert all(one["title"] and one["price"] > 0 and one["item_id"] for one in told["items"])
    assert any(one["explanation"] for one in told["items"])
    assert headers["x-experiment"] == f"diversity={told['arm']}" and headers["cache-control"] == "no-store"
    _, _, plain = Client(port, "user-7").ask("GET", "/recommendations?k=5")
    assert "explanation" not in plain["items"][0]
    assert [one["item_id"] for one in plain["items"]] == [one["item_id"] for one in told["items"]]


def test_arms_are_split_by_user_for_ever_and_differ(service):
    shop = service[1]
    arms = [shop.arm(f"u{n}") for n in range(400)]
    assert arms == [shop.arm(f"u{n}") for n in range(400)] and 150 < arms.count("diverse") < 250
    user = next(f"u{n}" for n in range(400) if arms[n] == "diverse")
    diverse, plain = (
        shop.pipeline.recommend([user], context={"diverse": one}).ids(0) for one in (True, False)
    )
    assert diverse != plain


def test_rules_hold_on_every_list(port, data):
    items = data.items
    recalled, adult = items.column("recalled"), items.column("age_restricted")
    for n in range(0, 60, 7):
        codes = data.item_ids.encode(Client(port, f"user-{n + 1}").list())
        assert codes.all() and not recalled[codes].any() and not adult[codes].any()


def test_what_a_user_does_changes_the_next_list(service):
    port, shop = service
    client = Client(port, "newcomer-1")
    first = client.list()
    body = {"events": [{"item_id": first[0], "event": "purchase", "event_id": "a"}]}
    assert client.ask("POST", "/events", body)[::2] == (202, {"taken": 1})
    eventually(lambda: first[0] not in client.list())
    other = next(
        name for name in map("newcomer-1{}".format, range(9)) if shop.arm(name) == shop.arm("newcomer-1")
    )
    assert Client(port, other).list() == first  # nobody else's


def test_events_sent_again_count_once(service):
    port, shop = service
    before = shop.feed.total
    body = {"events": [{"item_id": "item-3", "event": "click", "event_id": "same"}]}
    for user in ("retry-1", "retry-1", "retry-2"):
        assert Client(port, user).ask("POST", "/events", body)[0] == 202
    eventually(
        lambda: (
            sum((shop.feed.total.applied, shop.feed.total.repeated)) >= before.applied + before.repeated + 3
        )
    )
    assert shop.feed.total.applied - before.applied == 2  # an id is its sender's own
    assert len(shop.sessions.recent(["retry-1"], now=2e10).items) == 0  # long over
    assert len(shop.sessions.recent(["retry-1"], now=time.time() + 5).items) == 1


def test_similar_items_and_why(port):
    client = Client(port, "user-7")
    _, _, told = client.ask("GET", "/similar/item-3?k=4")
    assert len(told["items"]) == 4 and "item-3" not in [one["item_id"] for one in told["items"]]
    first = client.list()[0]
    _, _, why = client.ask("GET", f"/explain/{first}")
    assert why["fate"].endswith("shown at position 1") and why["explanation"]
    others = [f"item-{n}" for n in range(1, 121) if f"item-{n}" not in client.list()]
    assert "shown at" not in client.ask("GET", f"/explain/{others[0]}")[2]["fate"]


def test_a_newcomer_is_asked_and_his_choices_become_his_list(port):
    client = Client(port, "newcomer-3")
    nobody = client.list()
    _, _, told = client.ask("GET", "/onboarding?n=4")
    first = [one["item_id"] for one in told["items"]]
    query = "&".join([f"chosen={first[0]}", *(f"shown={item}" for item in first)])
    second = [one["item_id"] for one in client.ask("GET", f"/onboarding?n=4&{query}")[2]["items"]]
    assert len(first) == len(second) == 4 and not set(first) & set(second)
    assert client.ask("POST", "/onboarding", {"chosen": [first[0], second[0]]})[2] == {"taken": 2}
    eventually(lambda: client.list() != nobody)
    assert client.ask("POST", "/onboarding", {"chosen": []})[2] == {"taken": 0}


def test_who_opts_out_gets_the_list_of_nobody(port):
    client = Client(port, "private")
    nobody = client.list()
    clicks = [{"item_id": item, "event": "click"} for item in ("item-3", "item-9")]
    client.ask("POST", "/events", {"events": clicks})
    eventually(lambda: client.list() != nobody)
    mine = client.list()
    assert client.ask("PUT", "/profiling", {"allowed": False})[::2] == (200, {"allowed": False})
    assert client.list() == nobody
    client.ask("PUT", "/profiling", {"allowed": True})
    assert client.list() == mine


def test_a_user_is_forgotten(service):
    port, shop = service
    client = Client(port, "leaver")
    first = client.list()
    client.ask("POST", "/events", {"events": [{"item_id": first[0], "event": "purchase"}]})
    client.ask("PUT", "/profiling", {"allowed": False})
    eventually(lambda: len(shop.sessions.recent(["leaver"], now=time.time() + 5).items) == 1)
    status, _, told = client.ask("DELETE", "/me")
    assert status == 200 and told["failed"] == []
    removed = {one["part"]: one["n"] for one in told["removed"]}
    assert removed["ResidentSessions"] == 1 and removed["Preferences"] == 1
    assert client.list() == first
    assert any("backups" in one for one in told["unreachable"])


# -- operations --------------------------------------------------------------------------------------


def test_state_of_the_process(port, service):
    assert Client(port).ask("GET", "/healthz")[::2] == (200, {"status": "alive"})
    assert Client(port).ask("GET", "/readyz")[2] == {"status": "ready", "version": service[1].version}
    assert "openapi" in Client(port).ask("GET", "/openapi.json")[2]


def test_without_a_model_it_is_alive_and_not_ready(models, data, monkeypatch):
    monkeypatch.setattr(Shop, "start", lambda self: None)
    settings = Settings(models=models.path, admin_key=KEY, token_secret=SECRET)
    with running(settings, models, data) as (port, _):
        assert Client(port).ask("GET", "/healthz")[0] == 200
        answer = Client(port).ask("GET", "/readyz")
        assert "found no model yet" in problem(answer, 503) and answer[1]["retry-after"] == "1"
        problem(Client(port, "u").ask("GET", "/recommendations"), 503)


def test_metrics_have_counts_and_no_ids(admin, port):
    Client(port, "user-with-a-name").list()
    status, _, text = admin.ask("GET", "/metrics")
    assert status == 200 and 'recokit_requests_total{status="ok"}' in text
    assert "user-" not in text and "item-" not in text


def test_status_shows_what_the_page_needs(admin, port):
    Client(port, "user-1").list()
    _, _, told = admin.ask("GET", "/admin/status")
    assert sum(told["answers"].values()) >= 1 and set(told["answers"]) <= {
        "model",
        "cached",
        "stale",
        "precomputed",
    }
    assert told["requests"] >= 1 and told["latency_ms"]["p99"] >= told["latency_ms"]["p50"] > 0
    assert len(told["versions"]) == 2 and told["version"] == told["versions"][-1]["name"]
    assert told["funnel"]["sources"]["merge.item_knn"]["calls"] >= 1
    assert [one["name"] for one in told["jobs"]] == ["alerts"]


def test_a_rollback_serves_at_once_and_a_newer_model_soon(admin, port, models, pipeline):
    first, second = (one.name for one in models.versions()[-2:])
    assert admin.ask("POST", "/admin/rollback", {})[::2] == (200, {"version": first})
    assert Client(port).ask("GET", "/readyz")[2]["version"] == first
    problem(admin.ask("POST", "/admin/rollback", {}), 422)
    problem(admin.ask("POST", "/admin/rollback", {"to": "000009-0a1b2c3d"}), 422)
    assert admin.ask("POST", "/admin/rollback", {"to": second})[0] == 200
    published = models.publish(pipeline).name
    eventually(lambda: Client(port).ask("GET", "/readyz")[2]["version"] == published)


# -- security ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/metrics", "/admin/status"])
def test_admin_routes_need_the_key(port, path):
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": "ü"},
    ):
        problem(Client(port, "user-1").ask("GET", path, **headers), 401)
    for method, body in (("rollback", {}), ("tokens", {"user": "x"}), ("erase", {"user": "x"})):
        problem(Client(port, "user-1").ask("POST", f"/admin/{method}", body), 401)


def test_users_need_a_token_that_is_signed_and_valid(port, admin):
    good = admin.ask("POST", "/admin/tokens", {"user": "ann"})[2]["token"]
    assert Client(port, Authorization=f"Bearer {good}").ask("GET", "/recommendations")[0] == 200
    assert Client(port, Cookie=f"visitor={good}").ask("GET", "/recommendations")[0] == 200
    user, until, signature = good.split("~")
    later = str(int(until) + 1)
    bad = [
        "", "x", f"bob~{until}~{signature}", f"{user}~{later}~{signature}", f"{user}~{until}~{signature[:-1]}",
        f"{user}~{until}", good + "=", security.signed("ann", "another-secret-of-somebody"),
        security.signed("ann", SECRET, lifetime=-1.0),
    ]  # fmt: skip
    for token in bad:
        answer = Client(port, Authorization=f"Bearer {token}").ask("GET", "/recommendations")
        assert "expected Authorization: Bearer" in problem(answer, 401)
        assert answer[1]["www-authenticate"] == "Bearer"


def test_a_token_is_valid_until_its_second_and_no_longer():
    token = security.signed("ann", SECRET, now=100.0, lifetime=10.0)
    assert security.user_of(token, SECRET, now=109.9) == "ann"
    assert security.user_of(token, SECRET, now=110.0) is None


def test_names_that_nobody_should_have_are_refused(admin):
    for user in ("", "a" * 65, "a b", "a\nb", "a~b", "<script>", "../x", "ü"):
        problem(admin.ask("POST", "/admin/tokens", {"user": user}), 422)
    assert admin.ask("POST", "/admin/tokens", {"user": "a" * 64})[0] == 200


def test_the_rate_of_each_user_is_limited(models, data):
    settings = Settings(models=models.path, admin_key=KEY, token_secret=SECRET, rate=0.5, burst=3)
    with running(settings, models, data) as (port, _):
        ann, bob = Client(port, "ann"), Client(port, "bob")
        assert [ann.ask("GET", "/recommendations?k=1")[0] for _ in range(4)] == [200, 200, 200, 429]
        answer = ann.ask("GET", "/recommendations?k=1")
        assert "more requests than the rate allows" in problem(answer, 429)
        assert 1 <= int(answer[1]["retry-after"]) <= 3
        assert bob.ask("GET", "/recommendations?k=1")[0] == 200


def test_the_rate_fills_up_again():
    now = [0.0]
    limit = security.RateLimit(2.0, 3, clock=lambda: now[0])
    assert [limit.take("ann") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    now[0] = 0.49
    assert limit.take("ann") == pytest.approx(0.01)
    now[0] = 0.51
    assert limit.take("ann") == 0.0
    now[0] = 1000.0
    assert [limit.take("ann") == 0.0 for _ in range(4)] == [True, True, True, False]  # no more than the burst


def test_the_rates_of_many_users_are_bounded(monkeypatch):
    monkeypatch.setattr(security, "_REMEMBERED", 10)
    limit = security.RateLimit(1.0, 1, clock=lambda: 0.0)
    for n in range(100):
        limit.take(f"u{n}")
    assert len(limit._left) == 10


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/events", b"{" + b" " * 20_000 + b"}", {}, 413),
        ("POST", "/events", b"x", {"Content-Length": "999999999999"}, 413),
        ("POST", "/events", b"{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/events", b"{}", {"Content-Type": "multipart/form-data"}, 415),
        ("GET", "/recommendations?x=" + "a" * 3_000, None, {}, 414),
        ("GET", "/recommendations", None, {f"X-{n}": "1" for n in range(80)}, 431),
        ("GET", "/recommendations", None, {"X-Long": "a" * 9_000}, 431),
        ("POST", "/events", b"{", {}, 422),
        ("POST", "/events", b"\xff\xfe", {}, 422),
        ("POST", "/events", b"[" * 8_000, {}, 400),
        ("POST", "/events", {"events": []}, {}, 422),
        ("POST", "/events", {"events": [{"item_id": "item-1", "event": "click"}] * 101}, {}, 422),
        ("POST", "/events", {"events": [{"item_id": "item-1", "event": "hack"}]}, {}, 422),
        ("POST", "/events", {"events": [{"item_id": 7, "event": "click"}]}, {}, 422),
        ("POST", "/events", {"events": [{"item_id": "item-1", "event": "click", "user_id": "bob"}]}, {}, 422),
        ("POST", "/events", {"events": [{"item_id": "no-such", "event": "click"}]}, {}, 404),
        ("POST", "/events", {"events": [{"item_id": "a\r\nSET x", "event": "click"}]}, {}, 422),
        ("POST", "/onboarding", {"chosen": ["item-1"] * 51}, {}, 422),
        ("PUT", "/profiling", {"allowed": "no"}, {}, 422),
        ("GET", "/recommendations?k=0", None, {}, 422),
        ("GET", "/recommendations?k=51", None, {}, 422),
        ("GET", "/recommendations?k=1e9", None, {}, 422),
        ("GET", "/similar/no-such", None, {}, 404),
        ("GET", "/similar/%3Cscript%3E", None, {}, 422),
        ("GET", "/similar/..%2f..%2fetc%2fpasswd", None, {}, 404),
        ("GET", "/static/..%2fapp.py", None, {}, 404),
        ("GET", "/static/app.py", None, {}, 404),
        ("GET", "/nowhere", None, {}, 404),
        ("DELETE", "/recommendations", None, {}, 405),
        ("TRACE", "/recommendations", None, {}, 405),
    ],
    ids=range(30),
)  # fmt: skip
def test_what_is_malformed_or_too_much_is_refused(port, method, path, body, headers, status):
    problem(Client(port, "user-1").ask(method, path, body, **headers), status)


def test_a_body_without_a_length_is_cut_too(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    chunks = (b"x" * 4_096 for _ in range(10))
    headers = {"Content-Type": "application/json", **Client(port, "user-1").headers}
    connection.request("POST", "/events", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_floods_of_names_grow_no_series(port, admin):
    def series():
        return admin.ask("GET", "/metrics")[2].splitlines()

    Client(port, "user-1").list()
    before = len(series())
    for n in range(60):
        Client(port, f"flood-{n}").ask("GET", f"/recommendations?k=1&query-{n}=1", **{f"X-Flood-{n}": "1"})
        Client(port, f"flood-{n}").ask("GET", f"/path-{n}")
    after = series()
    # A busy machine may add the few series of its own statuses, such as late and refused.
    assert len(after) < before + 20
    assert not [line for line in after if "flood-" in line or "path-" in line or "query-" in line]


def test_pages_load_nothing_from_elsewhere(port):
    for path in ("/", "/operations"):
        status, headers, page = Client(port).ask("GET", path)
        assert status == 200 and headers["content-security-policy"].startswith("default-src 'none'")
        assert "http" not in page.replace("http-equiv", "") and "onclick" not in page
        assert "set-cookie" not in headers  # tokens are for the demo alone


def test_the_demo_gives_each_visitor_a_token_once(models, data):
    settings = Settings(models=models.path, demo=True)
    assert len(settings.admin_key) >= 16 and settings.admin_key not in repr(settings)
    with running(settings, models, data) as (port, _):
        cookie = Client(port).ask("GET", "/")[1]["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        client = Client(port, Cookie=cookie.partition(";")[0])
        assert client.ask("GET", "/recommendations")[0] == 200
        assert "set-cookie" not in client.ask("GET", "/")[1]


def test_settings_come_from_the_environment():
    given = {
        "SERVICE_ADMIN_KEY": KEY,
        "SERVICE_TOKEN_SECRET": SECRET,
        "SERVICE_RATE": "2.5",
        "SERVICE_BURST": "7",
    }
    settings = Settings.from_environment(given)
    assert (settings.admin_key, settings.rate, settings.burst, settings.demo) == (KEY, 2.5, 7, False)
    assert Settings.from_environment({"SERVICE_DEMO": "1"}).demo
    for bad in ({}, {**given, "SERVICE_ADMIN_KEY": "short"}, {**given, "SERVICE_BURST": "many"}):
        with pytest.raises(ValueError, match=r"expected at least 16|invalid literal"):
            Settings.from_environment(bad)


def test_an_error_of_the_service_says_nothing_of_its_inside(service, monkeypatch):
    port, _ = service
    monkeypatch.setattr(Shop, "similar", lambda *_: 1 / 0)
    assert "ZeroDivision" not in problem(Client(port, "user-1").ask("GET", "/similar/item-3"), 500)


def test_everything_on_a_server_is_shared_by_processes(models, data, request):
    server = request.getfixturevalue("server")
    settings = Settings(
        models=models.path,
        admin_key=KEY,
        token_secret=SECRET,
        redis=server.url,
        rate=1000.0,
        budget_ms=5_000.0,
    )
    with running(settings, models, data) as (one, _), running(settings, models, data) as (two, _):
        first = Client(one, "shared").list()
        Client(one, "shared").ask("POST", "/events", {"events": [{"item_id": first[0], "event": "purchase"}]})
        eventually(lambda: first[0] not in Client(two, "shared").list())
        Client(one, "shared").ask("PUT", "/profiling", {"allowed": False})
        assert Client(two, "shared").ask("PUT", "/profiling", {"allowed": True})[0] == 200
        assert Client(two, "shared").ask("DELETE", "/me")[2]["failed"] == []
        assert Client(one, "shared").list() == first


def test_every_name_of_the_model_is_known(pipeline):
    assert isinstance(pipeline, rk.Pipeline)
    assert "adults_only" in pipeline.names and "disclose" in pipeline.names


def test_a_later_model_answers_the_questions_of_the_first(data, tmp_path, monkeypatch):
    from examples.service import model
    from recokit.errors import GateRejected

    models = Artifacts(tmp_path)
    first = model.publish(models, data, n_trees=2)
    assert first.golden["passed"] and first.golden["n"] == 101
    whole = make_pipeline(n_trees=2)
    kept = [stage for stage in whole.stages if not isinstance(stage, rk.rules.NotOwned)]
    weaker = rk.Pipeline(kept, fallback=whole.fallback, context=whole.context)
    monkeypatch.setattr(model, "make_pipeline", lambda **_: weaker)
    with pytest.raises(GateRejected, match="hard rule not_owned is gone"):
        model.publish(models, data)
    assert models.current == first
