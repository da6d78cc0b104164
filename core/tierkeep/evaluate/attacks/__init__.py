"""`tierkeep bench attack`: what an attacker who can write into a memory gets an agent to do, with and without a guard.

Offline and deterministic. Read `cases` first (what an attack is), then `agents` (who falls for it), `memories` (where it is kept and what
guards it), `runner` (how a trial is run and scored). What counts is the tool calls that were made, never the wording of a text (guard
spec, sections 4 and 9).
"""
