"""A-MemGuard (arXiv 2510.02373): what retrieved memories would make an agent do is compared, and what disagrees is held back."""
