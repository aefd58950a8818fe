"""Concurrency and crash proofs."""
