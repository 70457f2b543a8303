"""Data: what the layers above share.

External ids and codes (Vocabulary), attributes (Table, Categorical), the event log (Interactions, Dataset),
what is asked and what flows (Requests, Candidates, Retrieved, Ragged), limits on a list (Cap, Pin, Window),
what a ranker learns from (RankingData), negatives and hold-outs (NegativeSampler, hold_out), what stages bind to
(Schema), values that change while serving (Live) and events that come in meanwhile (LiveEvents), each user's history
(UserHistory), checks of training data (validate), segments of users and items,
splits, times, and saved state.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.data.candidates import Candidates as Candidates
    from recokit.data.candidates import Retrieved as Retrieved
    from recokit.data.dataset import Dataset as Dataset
    from recokit.data.events.live_events import Appended as Appended
    from recokit.data.events.live_events import LiveEvents as LiveEvents
    from recokit.data.events.user_history import UserHistory as UserHistory
    from recokit.data.interactions import EVENT_WEIGHTS as EVENT_WEIGHTS
    from recokit.data.interactions import Interactions as Interactions
    from recokit.data.limits import Cap as Cap
    from recokit.data.limits import Pin as Pin
    from recokit.data.limits import Window as Window
    from recokit.data.live import Live as Live
    from recokit.data.ragged import Ragged as Ragged
    from recokit.data.ranking_data import RankingData as RankingData
    from recokit.data.requests import Requests as Requests
    from recokit.data.sampling import NegativeSampler as NegativeSampler
    from recokit.data.sampling import PopularityNegatives as PopularityNegatives
    from recokit.data.sampling import Positives as Positives
    from recokit.data.sampling import Sampled as Sampled
    from recokit.data.sampling import UniformNegatives as UniformNegatives
    from recokit.data.sampling import accidental_hits as accidental_hits
    from recokit.data.sampling import hold_out as hold_out
    from recokit.data.sampling import log_q as log_q
    from recokit.data.schema import Schema as Schema
    from recokit.data.segments import activity_segments as activity_segments
    from recokit.data.segments import item_segments as item_segments
    from recokit.data.segments import item_segments_by as item_segments_by
    from recokit.data.segments import segments_by as segments_by
    from recokit.data.splits import Split as Split
    from recokit.data.splits import cold_items as cold_items
    from recokit.data.splits import cold_users as cold_users
    from recokit.data.splits import expanding as expanding
    from recokit.data.splits import k_core as k_core
    from recokit.data.splits import last_n as last_n
    from recokit.data.splits import rolling as rolling
    from recokit.data.state.encode import from_state as from_state
    from recokit.data.state.encode import to_state as to_state
    from recokit.data.state.folder import load_state as load_state
    from recokit.data.state.folder import save_state as save_state
    from recokit.data.table import Categorical as Categorical
    from recokit.data.table import Table as Table
    from recokit.data.times import DAY as DAY
    from recokit.data.times import seconds as seconds
    from recokit.data.times import timestamp as timestamp
    from recokit.data.validation.limits import ValidationLimits as ValidationLimits
    from recokit.data.validation.report import Check as Check
    from recokit.data.validation.report import CheckReport as CheckReport
    from recokit.data.validation.training_data import ValidationReport as ValidationReport
    from recokit.data.validation.training_data import validate as validate
    from recokit.data.vocabulary import Vocabulary as Vocabulary

_HOMES = {
    "DAY": ".times",
    "EVENT_WEIGHTS": ".interactions",
    "Appended": ".events.live_events",
    "Candidates": ".candidates",
    "Cap": ".limits",
    "Categorical": ".table",
    "Check": ".validation.report",
    "CheckReport": ".validation.report",
    "Dataset": ".dataset",
    "Interactions": ".interactions",
    "Live": ".live",
    "LiveEvents": ".events.live_events",
    "NegativeSampler": ".sampling",
    "Pin": ".limits",
    "PopularityNegatives": ".sampling",
    "Positives": ".sampling",
    "Ragged": ".ragged",
    "RankingData": ".ranking_data",
    "Requests": ".requests",
    "Retrieved": ".candidates",
    "Sampled": ".sampling",
    "Schema": ".schema",
    "Split": ".splits",
    "Table": ".table",
    "UniformNegatives": ".sampling",
    "UserHistory": ".events.user_history",
    "ValidationLimits": ".validation.limits",
    "ValidationReport": ".validation.training_data",
    "Vocabulary": ".vocabulary",
    "Window": ".limits",
    "accidental_hits": ".sampling",
    "activity_segments": ".segments",
    "cold_items": ".splits",
    "cold_users": ".splits",
    "expanding": ".splits",
    "from_state": ".state.encode",
    "hold_out": ".sampling",
    "item_segments": ".segments",
    "item_segments_by": ".segments",
    "k_core": ".splits",
    "last_n": ".splits",
    "load_state": ".state.folder",
    "log_q": ".sampling",
    "rolling": ".splits",
    "save_state": ".state.folder",
    "seconds": ".times",
    "segments_by": ".segments",
    "timestamp": ".times",
    "to_state": ".state.encode",
    "validate": ".validation.training_data",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_face(__name__, _HOMES)
