"""Spark on this machine: executors that are processes of their own, as on a cluster."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def has_spark() -> bool:
    """Tell whether pyspark and a Java are here."""
    return find_spec("pyspark") is not None and shutil.which("java") is not None


@contextmanager
def session(executors: int = 2, memory_mb: int = 1024) -> Iterator[Any]:
    """Start Spark with executors of one core; it stays on this machine's loopback, and its files in a folder that goes.

    Tasks that fail are tried again, as on a cluster; a Python worker serves all tasks of its executor.
    """
    folder = tempfile.mkdtemp(prefix="spark-")
    os.environ |= {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
        "SPARK_WORKER_DIR": folder,
        "SPARK_LOCAL_DIRS": folder,
        "PYSPARK_PYTHON": sys.executable,
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        from pyspark.sql import SparkSession

        options = {
            "spark.ui.enabled": "false",
            "spark.driver.host": "localhost",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executorEnv.PYTHONPATH": str(ROOT),
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.adaptive.enabled": "false",  # partitions are those that are asked for
            "spark.python.worker.idleTimeoutSeconds": "600",
        }
        spark = SparkSession.builder.master(f"local-cluster[{executors},1,{memory_mb}]").config(map=options)
        started = spark.getOrCreate()
        started.sparkContext.setLogLevel("OFF")
        try:
            yield started
        finally:
            started.stop()
            shutil.rmtree(folder, ignore_errors=True)
