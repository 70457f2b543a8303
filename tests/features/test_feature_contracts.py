"""Every block keeps the contracts of a featurizer."""

from recokit import features
from recokit.testing import parametrize_checks

BLOCKS = [
    features.Item("price"),
    features.Item(),
    features.User(),
    features.ItemActivity(),
    features.UserActivity(),
    features.UserItem(),
    features.UserCategory(),
    features.ItemCategory(),
    features.Price(category="category"),
    features.SourceScores(),
    features.Calendar(),
    features.Assemble([features.ItemActivity(), features.Item(), features.SourceScores()]),
    features.Standard(),
]


def expected_failures(stage):
    """Standard chooses features by the data it is fitted on; test_feature_sets.py compares two such fits by name."""
    return {"as_of": "other data, other features"} if isinstance(stage, features.Standard) else {}


@parametrize_checks(BLOCKS, expected_failures=expected_failures)
def test_features_keep_their_contracts(check):
    check()
