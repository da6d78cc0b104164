"""Attacks, and what guards cost those who do not attack: measured on data that the user brings."""
