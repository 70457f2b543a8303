"""Experiments: which of several pipelines is better, read from what users did.

:class:`Experiment` says who is in which arm, :class:`Served` answers requests by it, and :class:`Exposures` writes down
who was shown what; :class:`Stitching` makes one unit of a person before and after the login. Hashes of ids are
:class:`KeyedHash`, or :class:`GrowthBook`'s.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.experiments.assignment import (
        HOLDOUT as HOLDOUT,
        Assignment as Assignment,
        Experiment as Experiment,
        Place as Place,
        bucket_ranges as bucket_ranges,
    )
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
    from recokit.experiments.served import Served as Served
    from recokit.experiments.stitching import Stitching as Stitching

__getattr__, __dir__ = lazy_face(__name__)
