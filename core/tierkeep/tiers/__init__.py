"""One tier, one file, one class: profile look-up, targeted retrieval, deep reasoning."""
