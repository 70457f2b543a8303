"""Compiled kernels: small C functions on arrays, and the one place where Python hands them pointers."""
