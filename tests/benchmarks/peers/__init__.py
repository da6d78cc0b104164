"""tierkeep beside other memory systems, in one run on one machine: `make bench-peers`, or `python tests/benchmarks/peers/run.py --help`."""
