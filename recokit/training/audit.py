"""Audit of a negative sampler: its false negatives, its leaning to popular items, and leaks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._kernels.segments import offsets_to_rows
from recokit._utils.options import optional, require, whole
from recokit._utils.report import Content, Report, Table
from recokit.data import Dataset
from recokit.data.sampling import NegativeSampler, Positives
from recokit.errors import DataError
from recokit.typing import AnyArray, FloatArray, IntArray

#: Items are compared in so many groups of equal popularity rank: single items would need far more draws.
_BINS = 10
#: Fewer expected hits than this cannot tell a leak from chance.
_MIN_EXPECTED = 10.0
#: A leak is suspected where fewer than this share of the expected hits are found.
_MISSING = 0.2
_CHUNK = 4096


@dataclass(frozen=True, repr=False)
class SamplerAudit(Report):
    """Figures of a sampler, from :func:`audit`.

    Parameters
    ----------
    sampler : str
        What was audited.
    n_users, n_drawn : int
        Users with something held out, and negatives drawn for them.
    n_empty : int
        Draws that gave nothing.
    known_positives : float
        Share of the negatives that the user took in train; must be 0.
    false_negatives : float
        Share of the negatives that the user took in test.
    chance : float
        The same for uniform negatives.
    held_out_hits, expected_hits : float
        Draws of what the drawing user took in test; and how many are to be expected by how often the same items are
        drawn for other users. A sampler that knows the test part avoids them.
    popularity : float
        Mean number of train users of a negative, relative to the mean of the catalogue.
    popularity_of_positives : float
        The same for what was taken in test.
    kl_from_uniform, kl_from_positives : float
        Kullback-Leibler divergence in bits of the negatives from the catalogue, and from what was taken in test, over
        ten groups of items by popularity.
    coverage : float
        Share of the catalogue among the negatives.
    """

    sampler: str
    n_users: int
    n_drawn: int
    n_empty: int
    known_positives: float
    false_negatives: float
    chance: float
    held_out_hits: int
    expected_hits: float
    popularity: float
    popularity_of_positives: float
    kl_from_uniform: float
    kl_from_positives: float
    coverage: float

    @property
    def leak(self) -> bool | None:
        """Whether the sampler seems to know what is held out; None where the draws are too few to tell."""
        if self.expected_hits < _MIN_EXPECTED:
            return None
        return self.held_out_hits < _MISSING * self.expected_hits

    @property
    def ok(self) -> bool:
        """Whether no negative is a known positive, and no leak is seen."""
        return self.known_positives == 0 and not self.leak

    @property
    def findings(self) -> tuple[str, ...]:
        """What to know, in words."""
        lines = []
        if self.known_positives > 0:
            lines.append(f"{self.known_positives:.2%} of the negatives are known positives; expected none")
        hits = f"{self.held_out_hits:,} of {self.expected_hits:,.0f} expected draws of held-out positives"
        if self.leak:
            lines.append(f"leak: {hits}; the sampler seems to know the test part")
        elif self.leak is None:
            lines.append(
                f"cannot tell whether held-out positives leak: {hits}; hint: more draws for each user"
            )
        if self.chance > 0:
            times = self.false_negatives / self.chance
            lines.append(
                f"false negatives: {self.false_negatives:.3%}, {times:.1f} times those of uniform negatives"
            )
        if self.n_empty:
            total = self.n_empty + self.n_drawn
            lines.append(f"{self.n_empty:,} of {total:,} draws gave nothing")
        return tuple(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures and the verdict, ready for JSON."""
        return {**asdict(self), "leak": self.leak, "ok": self.ok, "findings": list(self.findings)}

    def _content(self) -> Content:
        title = f"Audit of {self.sampler}: {self.n_drawn:,} negatives of {self.n_users:,} users"
        rows = [
            ("known positives", f"{self.known_positives:.3%}"),
            ("false negatives", f"{self.false_negatives:.3%} (uniform: {self.chance:.3%})"),
            ("held-out hits", f"{self.held_out_hits:,} (expected without a leak: {self.expected_hits:,.1f})"),
            (
                "popularity",
                f"{self.popularity:.2f} x catalogue (positives: {self.popularity_of_positives:.2f})",
            ),
            (
                "KL, bits",
                f"{self.kl_from_uniform:.3f} from uniform, {self.kl_from_positives:.3f} from positives",
            ),
            ("coverage", f"{self.coverage:.1%} of the catalogue"),
        ]
        return Content(title, [Table((), rows)], notes=[f"- {finding}" for finding in self.findings])


def audit(
    sampler: NegativeSampler | tuple[IntArray, IntArray],
    train: Dataset,
    test: Dataset,
    *,
    n: int = 100,
    max_users: int | None = 10_000,
    seed: int = 0,
) -> SamplerAudit:
    """Draw negatives for users of the test part, and compare them with what these took.

    Parameters
    ----------
    sampler : sampler, or pair of ndarray of int64
        Fitted, by whatever it is to be fitted on; or user and item codes of negatives drawn elsewhere, such as those of
        a batch.
    train, test : Dataset
        Two parts of one data set: what is known, and what is held out.
    n : int, default 100
        Negatives drawn for each user.
    max_users : int, optional
        A sample of so many users, 10,000 by default; None for all.
    seed : int, default 0

    Raises
    ------
    DataError
        If nobody has something held out that is not in train, or nothing is drawn.
    ConfigurationError
        If an option is below 1.

    Examples
    --------
    >>> from recokit.data.sampling import UniformNegatives
    >>> log = {"user": [1, 2, 1, 2], "item": [1, 2, 3, 4], "timestamp": [1, 2, 8, 9]}
    >>> train, test = Dataset.from_frame(log).split_at(5)
    >>> figures = audit(UniformNegatives().fit(train), train, test, n=300)
    >>> figures.known_positives, figures.leak, round(figures.chance, 3)
    (0.0, False, 0.333)
    """
    require(whole(1), n=n)
    require(optional(whole(1)), max_users=max_users)
    known, held = Positives.of(train), _new(Positives.of(train), Positives.of(test))
    users = np.flatnonzero(np.diff(held.offsets) > 0)
    users = users[users > 0]
    if not len(users):
        raise DataError("found nothing in test that is not in train; expected held-out positives")
    if isinstance(sampler, tuple):
        name, (user, item) = "given negatives", sampler
        users = np.intersect1d(users, user)
    else:
        name = repr(sampler)
        if max_users is not None and len(users) > max_users:
            draw = uniform(np.full(len(users), seed, np.uint64), users, stream=29)
            users = np.sort(users[np.argsort(draw, kind="stable")[:max_users]])
        steps = [users[start : start + _CHUNK] for start in range(0, len(users), _CHUNK)]
        item = np.concatenate([sampler.sample(some, n, seed=seed).item.ravel() for some in steps])
        user = np.repeat(users, n)
    of_these = np.isin(user, users)
    n_empty = int(np.count_nonzero(of_these & (item == 0)))
    user, item = user[of_these & (item > 0)], item[of_these & (item > 0)]
    if not len(user):
        raise DataError("found no negative of a user with held-out positives; expected some")
    return _figures(name, user, item, known=known, held=held, n_empty=n_empty)


def _figures(
    name: str, user: IntArray, item: IntArray, *, known: Positives, held: Positives, n_empty: int
) -> SamplerAudit:
    n_items = known.n_items
    drawn_of = np.bincount(user, minlength=held.n_users + 1)  # draws of each user
    hits = held.contains(user, item)
    left = n_items - np.diff(known.offsets)
    at_chance = (drawn_of * np.diff(held.offsets) / np.maximum(left, 1)).sum()
    popularity = known.counts[1:]
    bins = _bins(popularity)
    held_user = offsets_to_rows(held.offsets)
    held_item = held.item[drawn_of[held_user] > 0]
    drawn, taken = (np.bincount(bins[codes - 1], minlength=_BINS) for codes in (item, held_item))
    mean = max(popularity.mean(), 1e-300)
    return SamplerAudit(
        sampler=name,
        n_users=int(np.count_nonzero(drawn_of)),
        n_drawn=len(user),
        n_empty=n_empty,
        known_positives=float(known.contains(user, item).mean()),
        false_negatives=float(hits.mean()),
        chance=float(at_chance / len(user)),
        held_out_hits=int(hits.sum()),
        expected_hits=_expected(item[~hits], drawn_of, known, held),
        popularity=float(popularity[item - 1].mean() / mean),
        popularity_of_positives=float(popularity[held_item - 1].mean() / mean),
        kl_from_uniform=_divergence(drawn, np.bincount(bins, minlength=_BINS)),
        kl_from_positives=_divergence(drawn, taken),
        coverage=len(np.unique(item)) / n_items,
    )


def _new(known: Positives, test: Positives) -> Positives:
    """Return what is in test and not in train."""
    user = offsets_to_rows(test.offsets)
    fresh = ~known.contains(user, test.item)
    counts = np.bincount(user[fresh], minlength=test.n_users + 1)
    return Positives(np.concatenate([[0], np.cumsum(counts)]), test.item[fresh], test.n_items)


def _expected(item: IntArray, drawn_of: IntArray, known: Positives, held: Positives) -> float:
    """Return how many held-out positives are to be expected among the draws.

    Each item's rate is that among the users who took it neither in train nor in test: a sampler that knows the test
    part has the same rates there.
    """
    draws_without = np.full(known.n_items + 1, float(drawn_of.sum()))
    for part in (known, held):
        weight = drawn_of[offsets_to_rows(part.offsets)]
        draws_without -= np.bincount(part.item, weights=weight, minlength=known.n_items + 1)
    rate = np.bincount(item, minlength=known.n_items + 1) / np.maximum(draws_without, 1.0)
    return float((drawn_of[offsets_to_rows(held.offsets)] * np.minimum(rate[held.item], 1.0)).sum())


def _bins(popularity: AnyArray) -> IntArray:
    """Return the group of each item: equal numbers of items by rank of popularity, the least popular first."""
    bins = np.empty(len(popularity), np.int64)
    bins[np.argsort(popularity, kind="stable")] = (
        np.arange(len(popularity)) * _BINS // max(len(popularity), 1)
    )
    return bins


def _divergence(counts: AnyArray, reference: AnyArray) -> float:
    """Return the divergence in bits of two histograms; half a count more in each group keeps it finite."""
    present = (counts + reference) > 0
    p, q = (_shares(part[present]) for part in (counts, reference))
    return float((p * np.log2(p / q)).sum())


def _shares(counts: AnyArray) -> FloatArray:
    return np.asarray((counts + 0.5) / (counts + 0.5).sum())
