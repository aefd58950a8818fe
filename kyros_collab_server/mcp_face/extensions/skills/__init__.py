"""Skills (SEP-2640): instructions for agents, served as resources."""
