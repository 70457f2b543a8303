"""Experiments: which of several pipelines is better, read from what users did.

:class:`Experiment` says who is in which arm, :class:`Switchback` which region when; :class:`Served` answers requests by
it, and :class:`Exposures` writes down who was shown what, :class:`ListLog` what the lists were like; :class:`Stitching`
makes one unit of a person before and after the login. Hashes of ids are :class:`KeyedHash`, or :class:`GrowthBook`'s.

:func:`plan` says how many units and days are needed, :func:`simulate_aa` and :func:`check_path` whether the way of
measuring and serving is sound. :func:`analyze` gives an :class:`ExperimentReport` with a :class:`Decision`, of metrics
(:class:`Mean`, :class:`Ratio`, :class:`Quantile`, :class:`Retention`) and guardrails (:class:`NotWorse`,
:func:`guardrails`), read once (:class:`Fixed`), at planned looks (:class:`GroupSequential`) or at any time
(:class:`Anytime`). :func:`monitored` is a first look at what a monitor counted, :func:`disclose` tells a user.

:class:`Interleaved` mixes the lists of all arms, and :func:`preference` reads the clicks on them; :class:`Allocation`
gives more traffic to the arm that does better.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.experiments.aa import (
        AAReport as AAReport,
        PathReport as PathReport,
        check_path as check_path,
        simulate_aa as simulate_aa,
    )
    from recokit.experiments.analysis import analyze as analyze
    from recokit.experiments.assignment import (
        HOLDOUT as HOLDOUT,
        Assignment as Assignment,
        Experiment as Experiment,
        Place as Place,
        bucket_ranges as bucket_ranges,
    )
    from recokit.experiments.bandit import Allocation as Allocation, rounds_of as rounds_of
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
    from recokit.experiments.interleaved import Interleaved as Interleaved
    from recokit.experiments.metrics import (
        Mean as Mean,
        Metric as Metric,
        NotWorse as NotWorse,
        Quantile as Quantile,
        Ratio as Ratio,
        Retention as Retention,
        guardrails as guardrails,
    )
    from recokit.experiments.planning import (
        Plan as Plan,
        detectable as detectable,
        plan as plan,
        units_needed as units_needed,
    )
    from recokit.experiments.preferred import Preference as Preference, preference as preference
    from recokit.experiments.readings import (
        Anytime as Anytime,
        Fixed as Fixed,
        GroupSequential as GroupSequential,
        Reading as Reading,
    )
    from recokit.experiments.records import (
        Disclosure as Disclosure,
        ListLog as ListLog,
        disclose as disclose,
        monitored as monitored,
    )
    from recokit.experiments.report import ExperimentReport as ExperimentReport
    from recokit.experiments.sample import Sample as Sample
    from recokit.experiments.served import Served as Served
    from recokit.experiments.splits import Split as Split, ratio_mismatch as ratio_mismatch
    from recokit.experiments.stitching import Stitching as Stitching
    from recokit.experiments.switchback import Switchback as Switchback
    from recokit.experiments.units import Units as Units

__getattr__, __dir__ = lazy_face(__name__)
