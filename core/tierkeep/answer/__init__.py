"""Answering from evidence."""
