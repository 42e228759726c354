"""Shows a Python program that embeds migrator: it migrates if necessary, then reads and writes through the store.

usage: python embedded.py DATA_DIR WORKSPACE
"""

import sys
from datetime import UTC, datetime

import migrator


def main(data_dir: str, workspace: str) -> int:
    """Migrate, then add a message to the first session of a workspace."""
    try:
        if migrator.needs_migration(data_dir):
            report = migrator.migrate(data_dir, progress=show)
            for error in report.errors:
                print(error, file=sys.stderr)
        with migrator.open_storage(data_dir) as store:
            sessions = store.get_all_sessions(workspace)
            if not sessions:
                print(f"{workspace} has no sessions.", file=sys.stderr)
                return 1
            session = sessions[0]
            now = datetime.now(UTC).isoformat()
            message: migrator.ChatMessage = {
                "id": f"hello-{now}",
                "role": "user",
                "content": "Hello",
                "timestamp": now,
            }
            store.add_chat_message(workspace, session["id"], message)
            print(store.get_session(workspace, session["id"])["chatHistory"][-1]["content"])
    except migrator.MigratorError as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return 0


def show(event: migrator.Progress) -> None:
    """Print one progress event."""
    print(f"{event.phase}: {event.done} of {event.total} bytes", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
