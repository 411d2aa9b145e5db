"""How fast orderflow is against what people would use instead: `python -m benchmarks --help`."""
