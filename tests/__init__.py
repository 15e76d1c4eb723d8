"""The tests, and `tests.postgres`, which the benchmark starts its server with."""
