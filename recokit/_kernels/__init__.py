"""Numeric kernels: numpy (and scipy.sparse) only."""
