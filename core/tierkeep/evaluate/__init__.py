"""`tierkeep bench`: honest measurements on data that the user brings. The only place that knows a benchmark's format."""
