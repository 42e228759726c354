#!/bin/sh
# A lock of filelock that was taken before a fork is not held after it, and each major version loses it differently.
#
# Seen with filelock 3.16.0 and 4.3.1 on Linux, one FileLock that is acquired, then a fork:
#   3.16.0: the child believes that it holds the lock; when it calls release(), the parent's lock is gone, while the
#           parent's is_locked stays True.
#   4.3.1:  the child's copy is closed at the fork. Its release() does nothing, and the parent keeps the lock. But if
#           the parent ends and the child goes on, as a daemon does, nothing is locked any more.
#
# Why it matters: a program that takes the lock of its history and then becomes a daemon, or starts a process pool by
# fork, lets a second writer in. Take the lock after the last fork, in the process that writes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/look.py" <<'PY'
import os
import sys

from filelock import FileLock, Timeout

folder = sys.argv[1]


def is_free(name):
    """Ask in a process of its own, as another program would."""
    child = os.fork()
    if child == 0:
        try:
            FileLock(os.path.join(folder, name)).acquire(timeout=0)
        except Timeout:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


released = FileLock(os.path.join(folder, "released"))
released.acquire()
child = os.fork()
if child == 0:
    released.release()
    os._exit(0)
os.waitpid(child, 0)
answer = [released.is_locked, is_free("released")]

# The parent takes the lock, forks and ends; the child goes on until its standard input is closed.
reader, writer = os.pipe()
wait, stop = os.pipe()
parent = os.fork()
if parent == 0:
    lock = FileLock(os.path.join(folder, "daemon"))
    lock.acquire()
    if os.fork():
        os._exit(0)
    os.close(stop)
    os.write(writer, b"1")
    os.read(wait, 1)
    os._exit(0)
os.waitpid(parent, 0)
os.read(reader, 1)
answer.append(is_free("daemon"))
os.close(stop)
print(answer)
PY
for pinned in 3.16.0 4.3.1; do
    python3 -m venv "$folder/$pinned"
    "$folder/$pinned/bin/python" -m pip install -qq "filelock==$pinned"
    mkdir "$folder/locks-$pinned"
    answer=$("$folder/$pinned/bin/python" -W ignore "$folder/look.py" "$folder/locks-$pinned")
    echo "filelock $pinned: [parent says locked, free after the child's release, free while a daemon has it] = $answer"
    case $pinned in
        3.16.0) expected="[True, True, False]" ;;
        *) expected="[True, False, True]" ;;
    esac
    [ "$answer" = "$expected" ] || { echo "filelock $pinned does something else now" >&2; exit 1; }
done
