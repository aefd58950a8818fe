"""Tests of the REST face through its real client."""
