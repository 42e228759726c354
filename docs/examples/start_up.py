"""The start of an app that is not written in Python: it runs the sidecar, and shows what comes of it.

usage: python start_up.py DATA_DIR COMMAND…, as in: python start_up.py ~/.ait42 dist/migrator
"""

import json
import subprocess
import sys


def main(data_dir: str, sidecar: list[str]) -> int:
    """Migrate if need be, and tell whether the app may start."""
    program = [*sidecar, "--data-dir", data_dir]
    status = status_of(program)
    if status["lost"]:
        print("The database of your history is not where it was. Please put it back.")
        return 1
    if not status["needs_migration"]:
        return 0
    process = subprocess.Popen(
        [*program, "migrate", "--progress", "jsonl"],
        stdout=subprocess.DEVNULL,  # the same, for people
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    finished = None
    for line in process.stderr:
        event = parsed(line)
        if event is None:
            print(f"log: {line.rstrip()}")
        elif event["event"] == "progress":
            share = event["done"] / event["total"] if event["total"] else 1
            print(f"\r{event['phase']:<12} {share:4.0%}", end="")
        elif event["event"] == "finished":
            finished = event
    code = process.wait()
    print()
    return show(code, finished)


def status_of(program: list[str]) -> dict:
    """How things stand. After a rollback, when the user has chosen the files, there is nothing to migrate."""
    asked = subprocess.run([*program, "status", "--json"], capture_output=True, encoding="utf-8", check=False)
    if asked.returncode != 0:
        print(f"log: {asked.stderr.strip()}")
        return {"lost": None, "needs_migration": True}  # the migration says what is wrong
    return json.loads(asked.stdout)


def parsed(line: str) -> dict | None:
    """An event; None for any other line, which belongs in the app's log."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def show(code: int, finished: dict | None) -> int:
    """What the user gets to see; returns 0 where the app may start."""
    if code == 0:
        print("Your history is ready.")
        return 0
    if finished is None:
        print("The update of your history was interrupted. Nothing is lost; it goes on at the next start.")
        return 0
    for message in finished["errors"]:
        print(f"- {message}")
    if code == 3:
        totals = finished["totals"]
        print(f"Your history is ready. {totals['quarantined']} sessions and {totals['failed']} workspaces need a look.")
        return 0
    if code == 4:
        print("Another window is updating your history. Please wait for it.")
        return 1
    print("Your history could not be updated. The app goes on as before.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
