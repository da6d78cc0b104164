"""Deciding which tier answers first."""
