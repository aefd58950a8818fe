"""Fixtures of the protocol's own test runners, served by `kyros serve --conformance` only."""
