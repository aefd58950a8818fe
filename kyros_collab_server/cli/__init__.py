"""The `kyros` command: one file per command group."""
