"""Stores: features and sessions that outlive a process or are shared between processes.

Features by id: :class:`Resident` keeps them in memory, :class:`SQLite` in a file for all processes of a machine,
:class:`Redis` on a server for all machines; all three are a :class:`FeatureStore`, which ``features.FromStore`` reads.
The events of right now: :class:`ResidentSessions` and :class:`RedisSessions` are a :class:`SessionStore`, which the
stage :class:`RecentSession` reads.
"""

from recokit.stores._rows import ErasesRows, FeatureRows, FeatureStore
from recokit.stores.recent_session import RecentSession
from recokit.stores.redis_rows import Redis
from recokit.stores.redis_sessions import RedisSessions
from recokit.stores.resident import Resident
from recokit.stores.sessions import ResidentSessions, SessionRows, SessionStore
from recokit.stores.sqlite import SQLite

__all__ = [
    "ErasesRows",
    "FeatureRows",
    "FeatureStore",
    "RecentSession",
    "Redis",
    "RedisSessions",
    "Resident",
    "ResidentSessions",
    "SQLite",
    "SessionRows",
    "SessionStore",
]
