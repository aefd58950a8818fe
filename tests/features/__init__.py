"""Tests of rules and services, one folder per feature."""
