"""tierkeep in smolagents: placeholder until its parts land."""
