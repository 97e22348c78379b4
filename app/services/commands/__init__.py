"""Writes as values: what they need to see, and what they decide. Pure, one file a group."""
