"""Snapshots brought into stores of vectors: LanceDB, PostgreSQL. Start with `transfers`."""
