"""The features, each with the same files."""
