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


@parametrize_checks(BLOCKS)
def test_features_keep_their_contracts(check):
    check()
