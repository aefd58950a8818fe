"""The worker: coordinates through tools, like every agent."""
