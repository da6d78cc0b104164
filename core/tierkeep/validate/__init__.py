"""Checking an answer against its evidence, and deciding whether to try again."""
