"""Attacks on a memory, how guards stand up to them, and what they cost those who do not attack (guard spec, section 9)."""
