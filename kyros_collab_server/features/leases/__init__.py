"""Bounded, fenced claims on resources."""
