"""Write the Grafana dashboard and the alert rules of the monitors that the service has.

Run it after a change of the monitors: ``python -m examples.service.deploy.dashboard``. A test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from recokit import monitoring

HERE = Path(__file__).parent
DASHBOARD = HERE / "grafana" / "provisioning" / "dashboards" / "shop.json"
RULES = HERE / "rules.yml"


def contents() -> dict[Path, str]:
    """Return what the files hold."""
    monitors = [monitoring.LatencyMonitor(), monitoring.HealthMonitor(), monitoring.FunnelMonitor()]
    board = monitoring.dashboard(monitors)
    return {
        DASHBOARD: json.dumps(board, indent=1) + "\n",
        RULES: monitoring.prometheus_rules(monitors),
    }


if __name__ == "__main__":
    for path, text in contents().items():
        path.write_text(text, encoding="utf-8")
