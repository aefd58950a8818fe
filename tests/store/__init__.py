"""One store suite on both engines."""
