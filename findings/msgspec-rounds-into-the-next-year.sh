#!/bin/sh
# msgspec rounds a timestamp with nanoseconds to the nearest microsecond; Python, pydantic, pandas and DuckDB cut it
# off. Half a microsecond before midnight, it is next year for one of them.
#
# Seen with msgspec 0.23.0, pydantic 2.14.4, pandas 3.1.1, DuckDB 1.5.5 and Python 3.11: of
# 2025-12-31T23:59:59.9999995Z msgspec makes 2026-01-01 00:00:00, the others make 2025-12-31 23:59:59.999999.
#
# Why it matters: Rust programs write nine digits. Two tools that read the same message then disagree by a microsecond
# for half of all messages, so that a comparison of both reports changes that nobody made, and a count for each day or
# year can differ. Keep timestamps as the text that they are, and compare texts.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'msgspec==0.23.0' 'pydantic==2.14.4' 'pandas==3.1.1' 'duckdb==1.5.5'
"$folder/venv/bin/python" - <<'PY'
import datetime

import duckdb
import msgspec
import pandas
import pydantic

TEXT = "2025-12-31T23:59:59.9999995Z"
read = {
    "msgspec": msgspec.json.decode(f'"{TEXT}"', type=datetime.datetime),
    "Python": datetime.datetime.fromisoformat(TEXT),
    "pydantic": pydantic.TypeAdapter(datetime.datetime).validate_json(f'"{TEXT}"'),
    "pandas": pandas.Timestamp(TEXT).to_pydatetime(warn=False),
    "DuckDB": duckdb.execute("SELECT ?::TIMESTAMP", [TEXT]).fetchone()[0],
}
years = {name: value.year for name, value in read.items()}
print(years)
assert years.pop("msgspec") == 2026, "msgspec no longer rounds up"
assert set(years.values()) == {2025}, "another one rounds up now"
PY
