"""Batches of the request benchmark, by whatever recokit is imported: this code or a checkout of earlier code."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from benchmarks._request_world import NOW, build_pipeline, make_world

__all__ = ["answer_batches", "batch_seconds"]


def batch_seconds(pipeline: Any, users: np.ndarray) -> float:
    """Return the seconds of one batch of all users."""
    start = time.thread_time()
    pipeline.recommend(users, k=20, now=NOW)
    return time.thread_time() - start


def answer_batches(n_items: int, n_users: int, vectors: str) -> None:
    """Build the world, and print the seconds of a batch for each line read."""
    pipeline = build_pipeline(make_world(n_items, max(n_users, 200), clustered=vectors == "clustered"))
    import faiss
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    faiss.omp_set_num_threads(1)
    users = np.arange(n_users) + 1
    batch_seconds(pipeline, users)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(batch_seconds(pipeline, users), flush=True)
