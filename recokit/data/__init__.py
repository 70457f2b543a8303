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
    from recokit.data.by_id import CandidatesById as CandidatesById, RequestsById as RequestsById
    from recokit.data.candidates import Candidates as Candidates, Retrieved as Retrieved
    from recokit.data.dataset import Dataset as Dataset
    from recokit.data.event_types import (
        EVENT_WEIGHTS as EVENT_WEIGHTS,
        EventType as EventType,
        event_weights as event_weights,
        kind_of as kind_of,
    )
    from recokit.data.events.live_events import Appended as Appended, LiveEvents as LiveEvents
    from recokit.data.events.user_history import UserHistory as UserHistory
    from recokit.data.interactions import Interactions as Interactions
    from recokit.data.limits import Cap as Cap, Pin as Pin, Window as Window
    from recokit.data.live import Live as Live
    from recokit.data.ragged import Ragged as Ragged
    from recokit.data.ranking_data import RankingData as RankingData
    from recokit.data.requests import Requests as Requests
    from recokit.data.sampling import (
        NegativeSampler as NegativeSampler,
        PopularityNegatives as PopularityNegatives,
        Positives as Positives,
        Sampled as Sampled,
        UniformNegatives as UniformNegatives,
        accidental_hits as accidental_hits,
        hold_out as hold_out,
        log_q as log_q,
    )
    from recokit.data.schema import Schema as Schema
    from recokit.data.segments import (
        activity_segments as activity_segments,
        item_segments as item_segments,
        item_segments_by as item_segments_by,
        segments_by as segments_by,
    )
    from recokit.data.splits import (
        Split as Split,
        cold_items as cold_items,
        cold_users as cold_users,
        expanding as expanding,
        k_core as k_core,
        last_n as last_n,
        rolling as rolling,
    )
    from recokit.data.state.encode import from_state as from_state, to_state as to_state
    from recokit.data.state.folder import load_state as load_state, save_state as save_state
    from recokit.data.table import Categorical as Categorical, Table as Table
    from recokit.data.times import DAY as DAY, seconds as seconds, timestamp as timestamp
    from recokit.data.validation.limits import ValidationLimits as ValidationLimits
    from recokit.data.validation.report import Check as Check, CheckReport as CheckReport
    from recokit.data.validation.training_data import (
        ValidationReport as ValidationReport,
        validate as validate,
    )
    from recokit.data.vocabulary import Vocabulary as Vocabulary

__getattr__, __dir__ = lazy_face(__name__)
