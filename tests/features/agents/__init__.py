"""Tests of the agents feature."""
