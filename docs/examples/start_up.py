"""Shows how an app in any language runs the sidecar at its start, and what it shows the user.

usage: python start_up.py DATA_DIR COMMAND…, as in: python start_up.py ~/.ait42 dist/migrator
"""

import json
import subprocess
import sys
from typing import Any

Event = dict[str, Any]


def main(data_dir: str, sidecar: list[str]) -> int:
    """Migrate if necessary; return 0 if the app may start."""
    program = [*sidecar, "--data-dir", data_dir]
    status = status_of(program)
    if status["lost"]:
        print("The database of your history is not where it was. Please put it back.")
        return 1
    if not status["needs_migration"]:
        return 0
    process = subprocess.Popen(
        [*program, "migrate", "--progress", "jsonl"],
        stdout=subprocess.DEVNULL,  # a summary for people
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    finished = None
    for line in process.stderr or ():
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


def status_of(program: list[str]) -> Event:
    """The answer of ``migrator status``. After a rollback it says that there is nothing to migrate."""
    asked = subprocess.run([*program, "status", "--json"], capture_output=True, encoding="utf-8", check=False)
    if asked.returncode != 0:
        print(f"log: {asked.stderr.strip()}")
        return {"lost": None, "needs_migration": True}  # the migration reports what is wrong
    answer: Event = json.loads(asked.stdout)
    return answer


def parsed(line: str) -> Event | None:
    """Parse an event; return None for any other line, which belongs in the app's log."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def show(code: int, finished: Event | None) -> int:
    """Show the user how it ended; return 0 if the app may start."""
    if code == 0:
        print("Your history is ready.")
        return 0
    if finished is None and code != 2:
        print("The update of your history was interrupted. Nothing is lost; it goes on at the next start.")
        return 0
    for message in finished["errors"] if finished else ():  # none if an option of the call does not exist
        print(f"- {message}")
    if code == 3 and finished:
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
