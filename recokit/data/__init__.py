"""Data: what the layers above share.

External ids and codes (Vocabulary), attributes (Table, Categorical), the event log (Interactions, Dataset),
what is asked and what flows (Requests, Candidates, Retrieved, Ragged), limits on a list (Cap, Pin, Window),
what a ranker learns from (RankingData), negatives and hold-outs (NegativeSampler, hold_out), what stages bind to
(Schema), values that change while serving (Live) and events that come in meanwhile (LiveEvents), each user's history
(UserHistory), checks of training data (validate), segments of users and items,
splits, times, and saved state.
"""

from recokit.data.candidates import Candidates, Retrieved
from recokit.data.dataset import Dataset
from recokit.data.events.live_events import Appended, LiveEvents
from recokit.data.events.user_history import UserHistory
from recokit.data.interactions import EVENT_WEIGHTS, Interactions
from recokit.data.limits import Cap, Pin, Window
from recokit.data.live import Live
from recokit.data.ragged import Ragged
from recokit.data.ranking_data import RankingData
from recokit.data.requests import Requests
from recokit.data.sampling import (
    NegativeSampler,
    PopularityNegatives,
    Positives,
    Sampled,
    UniformNegatives,
    accidental_hits,
    hold_out,
    log_q,
)
from recokit.data.schema import Schema
from recokit.data.segments import activity_segments, item_segments, item_segments_by, segments_by
from recokit.data.splits import Split, cold_items, cold_users, expanding, k_core, last_n, rolling
from recokit.data.state.encode import from_state, to_state
from recokit.data.state.folder import load_state, save_state
from recokit.data.table import Categorical, Table
from recokit.data.times import DAY, seconds, timestamp
from recokit.data.validation.limits import ValidationLimits
from recokit.data.validation.report import Check, CheckReport
from recokit.data.validation.validate import ValidationReport, validate
from recokit.data.vocabulary import Vocabulary

__all__ = [
    "DAY",
    "EVENT_WEIGHTS",
    "Appended",
    "Candidates",
    "Cap",
    "Categorical",
    "Check",
    "CheckReport",
    "Dataset",
    "Interactions",
    "Live",
    "LiveEvents",
    "NegativeSampler",
    "Pin",
    "PopularityNegatives",
    "Positives",
    "Ragged",
    "RankingData",
    "Requests",
    "Retrieved",
    "Sampled",
    "Schema",
    "Split",
    "Table",
    "UniformNegatives",
    "UserHistory",
    "ValidationLimits",
    "ValidationReport",
    "Vocabulary",
    "Window",
    "accidental_hits",
    "activity_segments",
    "cold_items",
    "cold_users",
    "expanding",
    "from_state",
    "hold_out",
    "item_segments",
    "item_segments_by",
    "k_core",
    "last_n",
    "load_state",
    "log_q",
    "rolling",
    "save_state",
    "seconds",
    "segments_by",
    "timestamp",
    "to_state",
    "validate",
]
