"""Tests of the leases feature."""
