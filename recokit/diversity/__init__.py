"""Diversity: objectives of slate selection. :class:`MMR` trades relevance against likeness, :class:`TopK` does not."""

from recokit.diversity.mmr import MMR
from recokit.diversity.top_k import TopK

__all__ = ["MMR", "TopK"]
