"""What every feature stands on: standard library and pydantic only."""
