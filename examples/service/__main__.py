"""Start the service: ``python -m examples.service`` with ``SERVICE_DEMO=1`` needs nothing else."""

from __future__ import annotations

import argparse
import logging

import uvicorn

from recokit import serving

from .app import create_app
from .model import make_data, publish
from .settings import Settings
from .shop import Shop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.from_environment()
    models, data = serving.Artifacts(settings.models), make_data()
    if models.current is None:
        logging.info("no model at %s: fitting one on a made marketplace", settings.models)
        publish(models, data)
    if settings.demo:
        logging.info("key of http://%s:%s/operations: %s", options.host, options.port, settings.admin_key)
    app = create_app(settings, Shop(settings, models, data))
    # Its own limits are tighter than the server's; a server header tells attackers what runs.
    uvicorn.run(app, host=options.host, port=options.port, server_header=False, timeout_graceful_shutdown=10)


if __name__ == "__main__":
    main()
