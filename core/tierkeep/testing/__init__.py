"""Public doubles and conformance suites: what a test of your own part, or of an agent with a memory, can be built from."""
