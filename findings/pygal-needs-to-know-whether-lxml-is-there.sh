#!/bin/sh
# The same pygal chart is an exception, or a file that no XML parser reads, depending on whether lxml happens to be
# installed.
#
# Seen with pygal 3.1.3, and lxml 6.1.3: a label with ESC, as in text copied from a terminal. Without lxml, pygal
# writes ESC as it is, which XML 1.0 does not allow, and parsers stop there ("not well-formed"). With lxml, which
# pygal uses whenever it can be imported, render() raises ValueError ("All strings must be XML compatible").
#
# Output: without lxml: not well-formed; with lxml: ValueError
#
# Why it matters: titles of sessions and names of branches are pasted from terminals. The chart works in development,
# and fails where another package has brought lxml along, or the other way round; and code that changes the elements
# of render_tree() with ElementTree fails there, too. Remove control characters from labels, and call to_etree() of
# pygal.etree.etree before.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/chart.py" <<'PY'
import xml.etree.ElementTree

import pygal

chart = pygal.Bar()
chart.x_labels = ["fix \x1b[31mlogin"]
chart.add("messages", [3])
try:
    drawn = chart.render()
except ValueError:
    print("ValueError")
else:
    try:
        xml.etree.ElementTree.fromstring(drawn)
        print("well-formed")
    except xml.etree.ElementTree.ParseError as error:
        print("not well-formed" if error.code == 4 else error)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'pygal==3.1.3'
without=$("$folder/venv/bin/python" "$folder/chart.py")
"$folder/venv/bin/python" -m pip install -qq 'lxml==6.1.3'
with=$("$folder/venv/bin/python" "$folder/chart.py")
echo "without lxml: $without; with lxml: $with"
[ "$without" = "not well-formed" ] || { echo "without lxml it is written differently now" >&2; exit 1; }
[ "$with" = "ValueError" ] || { echo "with lxml it does something else now" >&2; exit 1; }
