"""DuckDB's side of bench/engine.py: `engine_duckdb.py DATA OUT`, all by engine_duckdb.sql."""

import os
import sys
from pathlib import Path
from string import Template

import duckdb

data, out = sys.argv[1:3]
sql = Template(Path(__file__).with_suffix(".sql").read_text())
connection = duckdb.connect(config={"threads": os.cpu_count(), "preserve_insertion_order": False})
connection.execute(sql.safe_substitute(data=data, out=out, business="haihe", as_of="2026-11-01"))
