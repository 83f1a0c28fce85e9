"""The library of DuckDB that tranche loads when a table is first used."""
from pathlib import Path

LIBRARY = Path(__file__).parent / "libduckdb.so"
