"""One file for each peer, all behind one protocol. An adapter's imports of its peer stand inside it: the others are not installed there."""
