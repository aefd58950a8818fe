"""The bell: wakes readers of the log after a commit."""
