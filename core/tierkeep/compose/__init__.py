"""From hits to evidence: transforms for the intent, then the packer that keeps the budget."""
