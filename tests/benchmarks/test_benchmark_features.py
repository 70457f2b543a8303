"""The features benchmark in small: what it times is the same in both libraries."""

import numpy as np

from benchmarks.features import asked, block, made_log, our_counts, polars_counts, polars_features
from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import Keyspace


def test_both_libraries_compute_the_same():
    data = made_log(4000)
    rows = asked(data, 500)
    fitted = block().fit(data)
    assert len(fitted.names) == 30
    np.testing.assert_allclose(fitted.featurize(rows), polars_features(data, rows), rtol=1e-4, atol=1e-6)
    index = EventIndex.build(data, [Keyspace(("item",)), Keyspace(("user",)), Keyspace(("user", "item"))])
    np.testing.assert_array_equal(our_counts(index, rows), polars_counts(data, rows))
