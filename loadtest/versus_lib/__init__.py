"""The load tests' parts: processes, origins, load, accounting, one file per proxy, and the report."""
