"""Benchmarks: floors and figures side by side."""
