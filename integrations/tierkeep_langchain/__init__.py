"""tierkeep in langchain: placeholder until its parts land."""
