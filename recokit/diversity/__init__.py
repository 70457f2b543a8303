"""Diversity: objectives of slate selection. :class:`MMR` trades relevance against likeness, :class:`TopK` does not."""

from recokit.diversity.dpp import DPP
from recokit.diversity.mmr import MMR
from recokit.diversity.msd import MSD
from recokit.diversity.top_k import TopK

__all__ = ["DPP", "MMR", "MSD", "TopK"]
