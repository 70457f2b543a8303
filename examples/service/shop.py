"""Shop: what the routes ask. One model that is replaced as a whole, sessions, events, choices, monitors."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import recokit as rk
from recokit import candidates, monitoring, serving, stores

from .preferences import Preferences
from .settings import Settings

_LOGGER = logging.getLogger("service")
#: What counts as a purchase, and so is not shown again.
_BOUGHT = "purchase"


class Shop:
    """The recommender of one process.

    Parameters
    ----------
    settings : Settings
    models : Artifacts
        With a version that serves.
    data : Dataset
        What newcomers are asked about.
    """

    def __init__(self, settings: Settings, models: serving.Artifacts, data: rk.Dataset) -> None:
        self.settings, self.models = settings, models
        self.sessions: Any
        self.log: Any
        if settings.redis:
            self.sessions = stores.RedisSessions(settings.redis, ttl="30D", timeout=0.05)
            self.log = serving.RedisStream(settings.redis, group="shop", max_length=1_000_000)
        else:
            self.sessions, self.log = stores.ResidentSessions(ttl="30D"), serving.ResidentLog()
        self.preferences = Preferences(settings.redis)
        self.feed = serving.Feed(self.log, sessions=self.sessions)
        self.latency, self.health = monitoring.LatencyMonitor(), monitoring.HealthMonitor()
        self.funnel = monitoring.FunnelMonitor()
        self.onboarding = candidates.Onboarding(data)
        watching = (self.latency, self.health, self.funnel)
        self.service = serving.Service(
            models,
            fallback=serving.Precomputed.of(models.load(), k=100),
            budget_ms=settings.budget_ms,
            lists=serving.ListCache(fresh="1min", stale="10min"),
            observers=watching,
        )
        self.monitors = (*watching, self.service.monitor)
        self.alerts = monitoring.Alerts(monitoring.standard_rules(watching))
        self.refresh = serving.Refresh([serving.Job("alerts", self._check, every="15s")])
        self._loaded: tuple[str, rk.Pipeline] | None = None

    def start(self) -> None:
        """Load and warm the model, then read events and look after alerts in the background."""
        self.service.start()
        self.feed.start()
        self.refresh.start()

    def stop(self) -> None:
        """Answer who waits, then end what runs in the background."""
        self.service.drain(timeout=5.0)
        self.refresh.stop()
        self.feed.stop()

    # -- the model ---------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether lists are answered."""
        return self.service.ready

    @property
    def version(self) -> str:
        """Name of the version that answers."""
        return str(self.service.health()["version"])

    @property
    def pipeline(self) -> rk.Pipeline:
        """The model that answers, for what is no list: similar items, explanations, cards. Its arrays are shared."""
        version = self.version
        if self._loaded is None or self._loaded[0] != version:
            self._loaded = version, self.models.load(version)
        return self._loaded[1]

    # -- lists -------------------------------------------------------------------------------------

    def arm(self, user: str) -> str:
        """Return the arm of the experiment that a user is in; the same for ever."""
        return "diverse" if hashlib.sha256(f"diverse/{user}".encode()).digest()[0] % 2 else "plain"

    async def lists(self, user: str, k: int) -> dict[str, Any]:
        """Return a user's list; of one who opted out, a list for nobody in particular."""
        arm, out, session = self.arm(user), *await asyncio.to_thread(self._known_of, user)
        options: dict[str, Any] = {"context": {"diverse": arm == "diverse"}, "caller": user}
        if not out:
            options["session"] = [item for item, _ in session]
            options["exclude"] = [item for item, event in session if event == _BOUGHT]
        answer = await self.service.recommend(None if out else user, k, **options)
        told = {"version": self.version, "arm": arm, "status": answer.status.name, "source": answer.source}
        return {**told, "items": self._cards(answer.to_records())}

    def similar(self, item: str, k: int) -> dict[str, Any]:
        """Return items like one."""
        answer = self.pipeline.similar_items([item], k)
        return {"version": self.version, "items": self._cards(answer.to_records()[0])}

    def explain(self, user: str, item: str) -> dict[str, Any]:
        """Return where an item is in a user's run: why it is shown, or why it is not."""
        pipeline, (out, session) = self.pipeline, self._known_of(user)
        options = {} if out else {"session": [[one for one, _ in session]]}
        options["exclude"] = [[one for one, event in session if event == _BOUGHT and not out]]
        context = {"diverse": self.arm(user) == "diverse"}
        answer = pipeline.recommend([None if out else user], 10, context=context, capture="full", **options)
        code = int(pipeline.schema.item_ids.encode([item])[0])
        words = {record["item_id"]: record["explanation"] for record in answer.to_records()[0]}
        return {
            "item_id": item,
            "fate": str(answer.trace.locate(0, code)),
            "explanation": words.get(item, ""),
        }

    def known(self, item: str) -> bool:
        """Tell whether there is an item."""
        return item in self.pipeline.schema.item_ids

    def _known_of(self, user: str) -> tuple[bool, list[tuple[str, str]]]:
        """Return whether a user opted out, and items and event types of his session; both may wait for a server."""
        if self.preferences.opted_out(user):
            return True, []
        rows = self.sessions.recent([user], now=time.time() + 1.0)
        return False, list(zip(rows.items.tolist(), rows.events.tolist(), strict=True))

    def _cards(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **self.card(record["item_id"]),
                "labels": record["labels"],
                "explanation": record.get("explanation", ""),
            }
            for record in records
        ]

    def card(self, item: str) -> dict[str, Any]:
        """Return what a page shows of an item."""
        schema = self.pipeline.schema
        code = int(schema.item_ids.encode([item])[0])
        category = schema.items.categorical["category"]
        label = str(category.labels.decode(category.codes[[code]])[0])
        price = float(schema.items.column("price")[code])
        return {
            "item_id": item,
            "title": f"{label.capitalize()} no. {code}",
            "category": label,
            "price": price,
        }

    # -- newcomers ---------------------------------------------------------------------------------

    def questions(self, chosen: Sequence[str], shown: Sequence[str], n: int) -> list[dict[str, Any]]:
        """Return what to ask a newcomer next."""
        return [self.card(item) for item in self.onboarding.ask(chosen, shown, n=n)]

    # -- events and persons ------------------------------------------------------------------------

    def record(self, user: str, events: Sequence[dict[str, Any]]) -> int:
        """Write events of a user into the log; return how many."""
        now = time.time()
        self.log.append([{**event, "user_id": user, "timestamp": now} for event in events])
        return len(events)

    def erase(self, user: str) -> dict[str, Any]:
        """Forget a user, as far as a service can, and say what it cannot reach."""
        erased = monitoring.erase_user(user, self.sessions, self.preferences, self.pipeline)
        return erased.to_dict()

    # -- operations --------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return what the operations page shows."""
        now = time.time()
        recent = {monitor: monitor.recent(now, 60.0) for monitor in (self.latency, self.health, self.funnel)}
        return {
            "version": self.version,
            "service": self.service.health(),
            "answers": {
                key[1]: int(n)
                for key, n in self.service.monitor.recent(now, 60.0).counts.items()
                if key[0] == "recokit_service_answers"
            },
            "versions": [
                {"name": one.name, "published_at": one.published_at, "golden": one.golden}
                for one in self.models.versions()
            ],
            "latency_ms": {
                name: 1e3 * value
                for name, value in self.latency.quantiles(recent[self.latency]).get("total", {}).items()
                if name.startswith("p")
            },
            "requests": self.latency.quantiles(recent[self.latency]).get("total", {}).get("n", 0),
            "health": self.health.figures(recent[self.health]),
            "funnel": self.funnel.figures(recent[self.funnel]),
            "alerts": [str(alert) for alert in self.alerts.active],
            "events": {"applied": self.feed.total.applied, "repeated": self.feed.total.repeated,
                       "rejected": self.feed.total.rejected, "errors": self.feed.errors},
            "jobs": [{"name": one.name, "runs": one.runs, "error": one.error} for one in self.refresh.status()],
        }  # fmt: skip

    def metrics(self) -> str:
        """Return the counts for Prometheus; no label is of a user or an item."""
        return monitoring.PrometheusCollector(self.monitors).text()

    def _check(self) -> None:
        for alert in self.alerts.check(time.time()):
            _LOGGER.warning("%s", alert)
