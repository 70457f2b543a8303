"""Alerts on simulated traffic: is each planted incident raised in time, and how often without any.

Run with ``python -m benchmarks.alerts``; ``--days`` and ``--busy`` make it smaller.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks._harness import Check, report
from benchmarks._traffic import DAY, HOUR, START, Incident, Traffic, make_monitors
from recokit import monitoring

__all__ = ["main", "run"]

#: Seconds between two checks of the rules, and requests a second while it is busy.
EVERY, RATE = 15.0, 2.0
#: Whole days before an incident.
WARM = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30, help="clean days")
    parser.add_argument("--busy", type=float, default=300.0, help="busy seconds of each hour")
    parser.add_argument("--repeats", type=int, default=20, help="draws of the experiment")
    options = parser.parse_args()
    report("alerts", run(options.days, options.busy, options.repeats), vars(options))


class Shop:
    """Monitors, alerts and traffic, from a time on."""

    def __init__(self, traffic: Traffic, monitors: Sequence[Any], now: float = START) -> None:
        self.traffic, self.monitors, self.now = traffic, list(monitors), now
        self.alerts = monitoring.Alerts(monitoring.standard_rules(self.monitors))
        self.raised: list[monitoring.Alert] = []

    def at_this_time(self) -> Shop:
        """Return a copy, by way of what is saved."""
        return Shop(self.traffic, pickle.loads(pickle.dumps(self.monitors)), self.now)

    def serve(self, until: float, busy: float, incident: Incident, stop: Callable[[], bool] = bool) -> None:
        """Serve whole hours, checking the rules all the time that is busy, and once more in the quiet."""
        outcomes = self.monitors[-1]
        while self.now < until and not stop():
            due = self.now
            for trace, clicked in self.traffic.hour(self.now, seconds=busy, rate=RATE, incident=incident):
                now = float(trace.requests.now[0])
                while now >= due:
                    self._check(due)
                    due += EVERY
                for monitor in self.monitors:
                    monitor.observe(trace)
                for item in clicked:
                    outcomes.record(trace.users[0], item, timestamp=now + 5.0)
            for later in (busy, busy + EVERY):
                self._check(self.now + later)
            self.now += HOUR
        self._check(self.now)

    def _check(self, now: float) -> None:
        self.raised += [alert for alert in self.alerts.check(now) if alert.cleared is None]

    def delay(self, incident: Incident, name: str, subject: str, busy: float, days: float) -> float:
        """Return how many seconds after its beginning an incident is raised; infinite if it is not."""
        shop, start = self.at_this_time(), self.now

        def found() -> list[float]:
            return [a.since - start for a in shop.raised if (a.name, a.subject) == (name, subject)]

        shop.serve(start + days * DAY, busy, incident, lambda: bool(found()))
        return min(found(), default=float("inf"))


def run(days: int, busy: float, repeats: int, *, warm: int = WARM) -> list[Check]:
    """Serve clean days, then each incident from the same healthy state on."""
    traffic = Traffic()
    monitors = make_monitors(traffic.data)
    shop = Shop(traffic, monitors)
    shop.serve(START + HOUR, busy, Incident())
    monitors[0].set_baseline()  # type: ignore[attr-defined]
    shop.serve(START + min(warm, days) * DAY, busy, Incident())
    healthy = shop.at_this_time()
    shop.serve(START + days * DAY, busy, Incident())
    for alert in shop.raised:
        print("false alert:", alert)

    def seconds(incident: Incident, name: str, subject: str, days: float) -> float:
        return healthy.delay(incident, name, subject, busy, days)

    checks = [
        Check.at_most(f"false alerts in {days} clean days", len(shop.raised), 1),
        Check.at_most("latency x 3", seconds(Incident(slow=3.0), "SlowStage", "total", 0.1), 120, "s"),
        Check.at_most(
            "a source down",
            seconds(Incident(dead="merge.item_knn"), "DeadSource", "merge.item_knn", 0.1),
            60,
            "s",
        ),
        Check.at_most(
            "coverage collapse",
            seconds(Incident(one_list=True), "CoverageDrop", "catalogue", 2) / DAY,
            1,
            "days",
        ),
        Check.at_most(
            "cold users clicked 40% less",
            seconds(Incident(cold=0.6), "SegmentDrop", "cold users", 3) / DAY,
            2,
            "days",
        ),
    ]
    return checks + experiment(repeats)


def experiment(repeats: int) -> list[Check]:
    """Let arm B lose a tenth of its clicks for one day, with 10,000 and 40,000 impressions an arm."""
    checks = []
    for impressions in (10_000, 40_000):
        states = []
        for seed in range(repeats):
            traffic = Traffic(seed=seed + 1, click=0.2)
            outcomes = monitoring.OutcomeMonitor(monitoring.Catalog.of(traffic.data))
            rate = 2 * impressions / 10 / DAY
            for trace, clicked in traffic.hour(
                START, seconds=DAY, rate=rate, incident=Incident(arm={"B": 0.9})
            ):
                outcomes.observe(trace)
                for item in clicked:
                    outcomes.record(trace.users[0], item, timestamp=float(trace.requests.now[0]) + 5.0)
            (reading,) = monitoring.OutcomeDrop(outcomes).read(START + DAY)
            states.append(reading.state)
        name = f"click rate -10% in an arm of {impressions}"
        checks += [
            Check.at_most(f"{name}: called healthy", states.count("ok") / repeats, 0.0),
            Check.info(f"{name}: raised within a day", states.count("bad") / repeats),
            Check.info(f"{name}: cannot tell", states.count("cannot tell") / repeats),
        ]
    return checks


if __name__ == "__main__":
    main()
