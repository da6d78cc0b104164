"""One published memory system, one file: what is taken from each beyond the presets (docs/papers.md)."""
