#!/bin/sh
# usage: demo.sh MIGRATOR
# Migrates a temporary copy of the fixture, which stays there to be looked at.
set -eu
migrator=$1

# The user's own settings must not lead the demo to the user's own data.
unset AIT42_DATA_DIR DATABASE_URL STORAGE_BACKEND

data=$(mktemp -d "${TMPDIR:-/tmp}/migrator-demo.XXXXXX")
cp -R fixtures/data-dir/. "$data"

run() {
    echo
    echo "\$ migrator --data-dir $data $*"
    code=0
    "$migrator" --data-dir "$data" "$@" || code=$?
    case $code in
        0) ;;
        3) echo "(exit code 3: done, and something needs you. The fixture holds damaged content on purpose.)" ;;
        *) echo "demo failed: migrator $* ended with exit code $code; the data is in $data" >&2; exit 1 ;;
    esac
}

run migrate
run status

echo
echo "The result is in $data: sessions.db is the new store, backups/ holds the files as they were."
echo "Look on: $migrator --data-dir $data --help    Remove it: rm -r $data"
