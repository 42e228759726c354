#!/bin/sh
# usage: demo.sh MIGRATOR
# Migrates a temporary copy of the fixture and leaves the result there, to be explored.
set -eu
migrator=$1

# The user's own settings must not lead the demo to the user's own data.
unset AIT42_DATA_DIR DATABASE_URL STORAGE_BACKEND

data=$(mktemp -d "${TMPDIR:-/tmp}/migrator-demo.XXXXXX")
cp -R fixtures/data-dir/. "$data"

run() {
    echo
    echo "\$ $migrator --data-dir $data $*"
    code=0
    "$migrator" --data-dir "$data" "$@" || code=$?
    case $code in
        0) ;;
        3) echo "(exit code 3: done, but some items need attention. The fixture contains damaged data on purpose.)" ;;
        *) echo "demo failed: $migrator $* ended with exit code $code; the data is in $data" >&2; exit 1 ;;
    esac
}

run migrate
run status

cat <<END

The result is in $data: sessions.db is the new database, backups/ holds copies of the original files.
To explore it, make these two settings in your shell; then you can run the commands below them as they are:

    export PATH="$(cd "$(dirname "$migrator")" && pwd):\$PATH"
    export AIT42_DATA_DIR=$data

    migrator quarantine show 1     # why a session was quarantined
    migrator migrate --salvage     # migrate the complete sessions of the truncated file
    migrator sessions search test  # full-text search
    migrator rollback              # back to the JSON files

To remove it: rm -r $data; unset AIT42_DATA_DIR
END
