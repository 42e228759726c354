#!/bin/sh
# mutmut makes mutants of functions that are called while a module is imported, and can never activate them: they count
# as survivors, although a test fails with each of these changes.
#
# Seen with mutmut 3.8.1: the modules and tests are imported once, and a process is forked for each mutant afterwards. The
# function has run by then. Its two mutants, "*" -> "/" and 60 -> 61, survive a test that compares the result with 3600,
# while the same mutants of the same function, called in the test, are killed. The changed source fails that test.
#
# Output: called at import: 2 of 2 survived; called in the test: 0 of 2 survived; the source changed by hand: test failed
#
# Why it matters: tables of SQL statements, patterns and limits are made at import. The share of killed mutants says
# nothing about them, and no test that is added raises it. Leave such modules out of only_mutate, or make the values when
# they are first used.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'mutmut==3.8.1' 'pytest==9.0.2'

# project NAME VALUE: a package whose test compares VALUE with what seconds() returns
project() {
    mkdir -p "$folder/$1/limits" "$folder/$1/tests"
    cat > "$folder/$1/limits/__init__.py" << 'CODE'
def seconds(minutes):
    return minutes * 60


HOUR = seconds(60)
CODE
    cat > "$folder/$1/tests/test_limits.py" << CODE
import limits


def test_an_hour():
    limits.seconds(1)  # so that mutmut knows that the test reaches the function
    assert $2 == 3600
CODE
    cat > "$folder/$1/pyproject.toml" << 'CODE'
[tool.mutmut]
source_paths = ["limits"]
CODE
}

survivors() (
    cd "$folder/$1"
    "$folder/venv/bin/python" -m mutmut run > run.txt 2>&1 || true
    "$folder/venv/bin/python" -m mutmut results --all true > results.txt
    echo "$(grep -c ': survived' results.txt || true) of $(grep -c '__mutmut_' results.txt) survived"
)

project at_import limits.HOUR
project in_test 'limits.seconds(60)'
imported=$(survivors at_import)
called=$(survivors in_test)
cd "$folder/at_import"
sed -i.bak 's/minutes \* 60/minutes \/ 60/' limits/__init__.py
if PYTHONPATH=. "$folder/venv/bin/python" -m pytest -q tests > /dev/null 2>&1; then byhand=passed; else byhand=failed; fi
echo "called at import: $imported; called in the test: $called; the source changed by hand: test $byhand"
case $called in "0 of "*) ;; *) echo "mutants survive a test that calls the function" >&2; exit 1 ;; esac
[ "${imported%% *}" -gt 0 ] || { echo "mutants of what runs at import are killed now" >&2; exit 1; }
[ "$byhand" = failed ]
