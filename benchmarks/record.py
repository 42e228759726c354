"""Keeps the last measurements in docs/benchmarks.json; each benchmark replaces its own.

docs/benchmarks.md and its plot are made from it, so that a part can be measured without the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.process import REPOSITORY
from benchmarks.results import Comparison, Figures, Growth, Result, SizeResult, Totals

DOCS = REPOSITORY / "docs"
ORDER = ("S", "five-files", "M", "XL", "huge", "tiny", "tiny-reference")


@dataclass
class Record:
    """All last measurements.

    :ivar sizes: by the corpus' name
    :ivar comparisons: what the other benchmarks show, by their names
    """

    sizes: dict[str, SizeResult] = field(default_factory=dict)
    growths: list[Growth] = field(default_factory=list)
    comparisons: dict[str, list[Comparison]] = field(default_factory=dict)


def write(
    *,
    sizes: Iterable[SizeResult] = (),
    growths: Iterable[Growth] = (),
    comparisons: dict[str, list[Comparison]] | None = None,
    docs: Path = DOCS,
) -> None:
    """Replace what was measured again, and write the page and the plot."""
    file = docs / "benchmarks.json"
    record = _read(file) if file.exists() else Record()
    record.sizes |= {size.size: size for size in sizes}
    record.growths = [*growths] or record.growths
    record.comparisons |= comparisons or {}
    record.sizes = {name: record.sizes[name] for name in sorted(record.sizes, key=_place)}
    record.comparisons = dict(sorted(record.comparisons.items()))
    file.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    report.write(docs, [*record.sizes.values()], record.growths, record.comparisons)


def _place(name: str) -> tuple[int, str]:
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def _read(file: Path) -> Record:
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Record(
        {name: _size(size) for name, size in known["sizes"].items()},
        [
            Growth(**growth | {"points": [(size, wall, rss) for size, wall, rss in growth["points"]]})
            for growth in known["growths"]
        ],
        {name: [Comparison(**one) for one in several] for name, several in known["comparisons"].items()},
    )


def _size(known: dict[str, Any]) -> SizeResult:
    results = [
        Result(**result | {"figures": Figures(**result["figures"]) if result["figures"] else None})
        for result in known["results"]
    ]
    return SizeResult(**known | {"totals": Totals(**known["totals"]), "results": results})
