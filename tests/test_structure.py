"""The structure of the code: imports point in one direction, and each kind of effect is in one place."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import migrator

PACKAGE = Path(migrator.__file__).parent

# From the foundation up: a package, or a module next to the packages, imports only from rows above its own.
ROWS = (
    ("errors", "_version", "progress", "text"),
    ("report",),
    ("worker",),
    ("files",),
    ("data_dir", "documents"),
    ("workspace", "hints"),
    ("database",),
    ("ownership",),
    ("authority", "locking"),
    ("inventory",),
    ("backups", "staging"),
    ("salvage", "storage"),
    ("search",),
    ("reconciliation",),
    ("migration",),
    ("export", "verification"),
    ("quarantine", "browse"),
    ("admin", "diagnostics"),
    ("receipt",),
    ("api",),
    ("migrator",),  # the public names
    ("cli",),
    ("__main__", "frozen"),
)
ROW_OF = {package: number for number, packages in enumerate(ROWS) for package in packages}
MOST_MODULES = 13  # in one folder; cli/commands has one a command
MOST_LINES = 400  # of a module
LONGEST_FUNCTION = 50  # lines
BACKENDS = ("migrator.storage.json_files", "migrator.storage.sqlite", "migrator.storage.hybrid.store")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.stmt) and is_type_checking(node)):
            yield node
            yield from running_nodes(node)


@cache
def imports(name: str) -> frozenset[str]:
    """The modules of this package that a module names: also within functions, in strings and for the type checker."""
    found: set[str] = set()
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            source = node.module or ""
            members = {f"{source}.{alias.name}" for alias in node.names}
            submodules = members & modules().keys()
            found |= submodules
            if len(submodules) < len(members):
                found.add(source)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isprintable():
            found |= {place.rstrip(".") for place in re.findall(r"(?<!:mod:`)\bmigrator(?:\.[a-z_]+)+", node.value)}
    return frozenset(found & modules().keys())


def package_of(name: str) -> str:
    """The package that a module belongs to; a module next to the packages counts as one."""
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] or first


def calls(name: str) -> Iterator[str]:
    """The dotted names that a module calls or hands on, such as ``os.replace``; imported ones with their module."""
    origins: dict[str, str] = {}
    for node in running_nodes(modules()[name]):
        if isinstance(node, ast.ImportFrom):
            origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            origins |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in running_nodes(modules()[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{origins.get(node.value.id, node.value.id)}.{node.attr}"
        elif isinstance(node, ast.Name):
            yield origins.get(node.id, node.id)


def test_imports_point_one_way():
    assert {package_of(name) for name in modules()} == ROW_OF.keys()
    wrong = [
        (name, other)
        for name in modules()
        for other in imports(name)
        if package_of(name) != package_of(other) and ROW_OF[package_of(other)] >= ROW_OF[package_of(name)]
    ]
    assert not wrong


def test_no_two_modules_import_each_other_not_even_by_way_of_others():
    graph = {name: imports(name) - {name} for name in modules()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a cycle: {' → '.join(error.args[1])}")
    assert order.index("migrator.errors") < order.index("migrator.files.durable")


def test_no_folder_has_too_many_modules():
    folders = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert len(folders) > 1
    large = {folder.name: count for folder, count in folders.items() if count > MOST_MODULES}
    assert large.keys() <= {"commands"}


def test_modules_and_functions_are_short():
    long = []
    for name, tree in modules().items():
        if max((node.end_lineno or 0 for node in tree.body), default=0) > MOST_LINES:
            long.append(name)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        long += [
            f"{name}.{node.name}" for node in functions if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
        ]
    assert not long


@pytest.mark.parametrize(
    "package", sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
)
def test_the_docstring_of_a_package_has_a_line_for_each_module_and_the_rule(package):
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    listed = [line for line in docstring.splitlines() if re.match(r"(- |\w+  )", line)]
    heads = " ".join(re.split(r":(?= )|  ", line.removeprefix("- "))[0] for line in listed)
    named = set(re.findall(r"\w+", re.sub(r":mod:`~[\w.]*\.(\w+)`", r"\1", heads)))
    there = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert named == there - {"__init__"}
    assert len(re.findall(r"(?m)^Its rule: ", docstring)) == 1


@pytest.mark.parametrize("name", BACKENDS)
def test_storage_backends_do_not_know_each_other(name):
    if name not in modules():
        pytest.skip("not built yet")
    assert not imports(name) & (set(BACKENDS) - {name})


def test_the_foundation_knows_nothing_of_the_database():
    for name in modules():
        if ROW_OF[package_of(name)] < ROW_OF["database"]:
            assert not [call for call in calls(name) if call.startswith("sqlite3.")], name


def all_but(*names: str) -> list[str]:
    assert modules().keys() >= {*names}
    return sorted(modules().keys() - {*names})


@cache
def methods(name: str) -> set[str]:
    return {node.attr for node in running_nodes(modules()[name]) if isinstance(node, ast.Attribute)}


def test_only_durable_renames_links_and_syncs():
    reserved = {"replace", "rename", "renames", "fsync", "fdatasync", "link"}
    functions = {f"os.{verb}" for verb in reserved} | {"shutil.move"}
    of_a_path = {"rename", "hardlink_to"}  # replace() is one of texts, too
    others = all_but("migrator.files.durable")
    assert not [name for name in others if {*calls(name)} & functions or methods(name) & of_a_path]


# What changes files, folders or what they are called; everything else only looks.
CHANGING = {
    "os.chmod", "os.chown", "os.fchmod", "os.fchown", "os.link", "os.makedirs", "os.mkdir", "os.open", "os.remove",
    "os.removedirs", "os.rename", "os.renames", "os.replace", "os.rmdir", "os.symlink", "os.truncate", "os.unlink",
    "os.utime", "os.write", "os.fdopen", "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree",
    "shutil.move", "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp", "tempfile.NamedTemporaryFile",
    "tempfile.TemporaryFile", "tempfile.TemporaryDirectory", "filelock.FileLock", "sqlite3.connect",
    "apsw.Connection",
}  # fmt: skip
CHANGING_METHODS = {
    "chmod", "hardlink_to", "mkdir", "rmdir", "symlink_to", "touch", "unlink", "write_bytes", "write_text",
}  # fmt: skip

# Where else files are changed, each for a reason. A kill is tried at each of these, too (tests/torture).
MAY_CHANGE_FILES = {"migrator.files.durable", "migrator.database.connection", "migrator.staging.connections.opening"}
CHANGES_ELSEWHERE = {
    "migrator.files.reading": {"os.open", "os.fdopen"},  # to read
    "migrator.cli.streams": {"os.open", "open"},  # the null device
    "migrator.files.durable": {"chmod"},  # takes rights away
    "migrator.files.owners": {"os.fchmod", "os.fchown", "os.open"},  # gives away what durable has just made
    "migrator.migration.dry_run": {"tempfile.mkdtemp", "shutil.rmtree"},  # what a dry run throws away
    "migrator.salvage.access": {"tempfile.mkdtemp", "shutil.rmtree"},  # a copy that is thrown away
    "migrator.files.locks": {"filelock.FileLock"},  # an empty file
    "migrator.worker.process": {"os.fdopen"},  # pipes
    "migrator.staging.connections.with_apsw": {"apsw.Connection"},
    "migrator.staging.connections.with_sqlite_utils": {"sqlite3.connect"},
    "migrator.search.excerpts": {"sqlite3.connect"},  # in memory
    "migrator.database.schema": {"sqlite3.connect"},  # the same
    "migrator.database.registry": {"os.open"},  # to lock what it does not read
    "migrator.diagnostics.database_users": {"sqlite3.connect"},  # takes the write lock, and lets go of it
    # To read alone, as their URLs say.
    "migrator.migration.publish": {"sqlite3.connect"},
    "migrator.backups.restore_database": {"sqlite3.connect"},
}


def changes(name: str) -> set[str]:
    """What a module calls that changes files: also ``open`` for anything but reading."""
    found = set(calls(name)) & CHANGING
    for node in running_nodes(modules()[name]):
        if isinstance(node, ast.Attribute) and node.attr in CHANGING_METHODS:
            found |= {node.attr} if getattr(node.value, "id", None) != "os" else set()
        if isinstance(node, ast.Call) and (getattr(node.func, "id", None) or getattr(node.func, "attr", "")) == "open":
            modes = [part.value for part in node.args[1:2] if isinstance(part, ast.Constant)]
            modes += [part.arg for part in node.keywords if part.arg == "mode"]
            if set("".join(map(str, modes))) & set("wax+m"):
                found.add("open")
    return found


def test_only_durable_and_the_database_change_files():
    found = {name: changes(name) - CHANGES_ELSEWHERE.get(name, set()) for name in all_but(*MAY_CHANGE_FILES)}
    assert not {name: calls for name, calls in found.items() if calls}


def test_sqlite_calls_functions_of_ours_only_through_the_one_that_passes_interrupts_on():
    registering = {
        "create_function", "create_aggregate", "create_window_function", "create_collation", "create_scalar_function",
        "create_aggregate_function", "set_authorizer", "set_progress_handler", "set_trace_callback", "create_module",
    }  # fmt: skip
    others = all_but("migrator.database.errors", "migrator.database.registry")
    assert not [name for name in others if methods(name) & registering]


def test_the_library_never_prints_and_never_exits():
    forbidden = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "sys.stdout"}
    may = {
        "migrator.__main__": {"sys.exit"},
        "migrator.worker.process": {"os._exit"},  # ends its own process when its parent is gone
    }
    library = [name for name in modules() if not name.startswith("migrator.cli")]
    assert not [name for name in library if (forbidden - may.get(name, set())) & {*calls(name)}]


def test_the_checks_of_this_file_see_what_they_look_for():
    assert "migrator.errors" in imports("migrator.files.durable")
    assert "migrator.migration.run" in imports("migrator.api.moving")  # within a function
    assert "migrator.backups.create" in imports("migrator.migration.run_record")  # for the type checker
    assert {"os.replace", "os.fsync", "os.link", "os.rename"} <= set(calls("migrator.files.durable"))
    assert {"os.open", "os.mkdir", "shutil.rmtree", "unlink", "open"} <= changes("migrator.files.durable")
    assert "migrator.staging.shard" in imports("migrator.migration.run")  # in a string
    assert package_of("migrator.files.durable") == "files"
    assert package_of("migrator") == "migrator"


def test_the_command_line_writes_through_one_function():
    """So that nothing that was stored can drive the terminal."""
    writing = {"click.echo", "click.secho", "click.echo_via_pager", "click.style", "print"}
    command_line = [name for name in modules() if name.startswith("migrator.cli")]
    assert not [name for name in command_line if name != "migrator.cli.output" and writing & {*calls(name)}]
    of_a_stream = {name: methods(name) & {"write", "writelines"} for name in command_line}
    of_a_stream["migrator.cli.streams"] -= {"write"}  # of the stream itself
    assert not {name: found for name, found in of_a_stream.items() if found}
