"""The route table, one file per feature."""
