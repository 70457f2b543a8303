"""Experiments: which of several pipelines is better, read from what users did.

:class:`Experiment` says who is in which arm, :class:`Served` answers requests by it, and :class:`Exposures` writes down
who was shown what; :class:`Stitching` makes one unit of a person before and after the login. Hashes of ids are
:class:`KeyedHash`, or :class:`GrowthBook`'s.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.experiments.analysis import analyze as analyze
    from recokit.experiments.assignment import (
        HOLDOUT as HOLDOUT,
        Assignment as Assignment,
        Experiment as Experiment,
        Place as Place,
        bucket_ranges as bucket_ranges,
    )
    from recokit.experiments.decision import Decision as Decision
    from recokit.experiments.effects import Curve as Curve, Effect as Effect, Guarded as Guarded
    from recokit.experiments.exposures import (
        Exposures as Exposures,
        SeesExposures as SeesExposures,
        Shown as Shown,
        read_log as read_log,
    )
    from recokit.experiments.hashing import (
        GrowthBook as GrowthBook,
        Hashing as Hashing,
        KeyedHash as KeyedHash,
    )
    from recokit.experiments.heterogeneity import Novelty as Novelty, Spread as Spread
    from recokit.experiments.metrics import (
        Mean as Mean,
        Metric as Metric,
        NotWorse as NotWorse,
        Quantile as Quantile,
        Ratio as Ratio,
        Retention as Retention,
        guardrails as guardrails,
    )
    from recokit.experiments.readings import (
        Anytime as Anytime,
        Fixed as Fixed,
        GroupSequential as GroupSequential,
        Reading as Reading,
    )
    from recokit.experiments.report import ExperimentReport as ExperimentReport
    from recokit.experiments.sample import Sample as Sample
    from recokit.experiments.served import Served as Served
    from recokit.experiments.splits import Split as Split, ratio_mismatch as ratio_mismatch
    from recokit.experiments.stitching import Stitching as Stitching
    from recokit.experiments.units import Units as Units

__getattr__, __dir__ = lazy_face(__name__)
