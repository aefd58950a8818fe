"""The REST and SSE face."""
