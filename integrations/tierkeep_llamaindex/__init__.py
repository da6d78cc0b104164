"""tierkeep in llamaindex: placeholder until its parts land."""
