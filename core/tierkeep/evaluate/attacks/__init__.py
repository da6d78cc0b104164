"""Attacks on a memory, and how the guard stands up to them."""
