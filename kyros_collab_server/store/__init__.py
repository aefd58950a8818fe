"""Tables and repositories, one file per feature."""
