"""Tools and resources, one file per feature."""
