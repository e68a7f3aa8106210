"""Structure is part of the contract: floors, sizes, names, tests, docstrings, and the public names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rufous"
FLOORS = [
    {"core"},
    {"video", "diffusion", "networks", "training"},
    {"perception", "world", "checkpoints"},
    {"data", "pipelines", "compression", "distillation", "rewards", "evaluation"},
    {"recipes"},
    {"apps"},
]
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}
GRAB_BAGS = {"utils", "util", "misc", "common", "helpers", "base", "lib"}
MAX_LINES, MAX_NETWORK_LINES, TESTED_ABOVE = 600, 900, 40
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "examples").rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_packages(tree: ast.Module) -> Iterator[str]:
    """Packages of this project that a module imports, lazily or for types alone as well."""
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        yield from (module.split(".")[1] for module in modules if module.startswith("rufous."))


def all_of(tree: ast.Module) -> list[str]:
    """The literal ``__all__`` of a module; empty if it has none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return list(ast.literal_eval(node.value))
    return []


def packages() -> list[Path]:
    return [path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_only_go_down(path: Path):
    parts = path.relative_to(PACKAGE).parts
    if len(parts) == 1:
        return  # rufous/__init__.py offers load() lazily, from the third floor
    for target in set(imported_packages(tree_of(path))) - {parts[0], "__version__"}:
        assert target in FLOOR, f"{name_of(path)} imports rufous.{target}, which stands on no floor"
        assert FLOOR[target] < FLOOR[parts[0]], f"{name_of(path)} imports {target}: imports only go down"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_are_absolute(path: Path):
    relative = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ImportFrom) and n.level]
    assert not relative, f"{name_of(path)} line {relative[0].lineno}: write the whole name"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_a_grab_bag_or_too_long(path: Path):
    assert path.stem not in GRAB_BAGS, f"{name_of(path)}: name it after what it holds"
    limit = MAX_NETWORK_LINES if path.parent.name == "networks" else MAX_LINES
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= limit, f"{name_of(path)} has {lines} lines: split it at {limit}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_over_40_lines_has_its_tests(path: Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if path.name == "__init__.py" or lines <= TESTED_ABOVE:
        return
    test = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.stem}.py"
    assert test.is_file(), f"{name_of(path)} has {lines} lines and no {test.relative_to(ROOT)}"


@pytest.mark.parametrize("path", packages(), ids=name_of)
def test_every_package_maps_its_folder_and_holds_no_code(path: Path):
    tree = tree_of(path)
    docstring = ast.get_docstring(tree) or ""
    beside = {each.stem for each in path.parent.glob("*.py")} - {"__init__"}
    beside |= {each.parent.name for each in path.parent.glob("*/__init__.py")}
    missing = sorted(name for name in beside if f"``{name}``" not in docstring)
    assert not missing, f"{name_of(path)}: the docstring leaves out {', '.join(missing)}"
    named = set(re.findall(r"^\* ``(\w+)``", docstring, flags=re.MULTILINE))
    assert not named - beside, (
        f"{name_of(path)}: the docstring names {sorted(named - beside)}, which is not there"
    )
    allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    assert all(isinstance(node, allowed) for node in tree.body), f"{name_of(path)} holds code"


def test_the_public_names_are_those_of_the_api_page():
    public = {
        f"rufous.{path.parent.relative_to(PACKAGE).as_posix().replace('/', '.')}.{name}"
        for path in packages()
        for name in all_of(tree_of(path))
    }
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(rufous\.[\w.]+)`", page, flags=re.MULTILINE)) - {"rufous.load"}
    assert listed == public, "docs/api.md and the __all__ lists differ (public names grow on purpose only)"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_hold_constants_and_no_state(path: Path):
    for node in tree_of(path).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        is_empty = isinstance(node.value, ast.List | ast.Dict | ast.Set) and not ast.dump(node.value).count(
            "Constant"
        )
        if is_empty and not any(isinstance(child, ast.Name) for child in ast.walk(node.value)):
            assert names == ["__all__"], f"{name_of(path)}: {names} starts empty, so something fills it later"
        lower = [name for name in names if name.islower() and not name.startswith("__")]
        if lower and isinstance(node.value, ast.List | ast.Dict | ast.Set):
            raise AssertionError(f"{name_of(path)}: {lower} is mutable state: constants are upper case")
    globals_used = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Global)]
    assert not globals_used, f"{name_of(path)} line {globals_used[0].lineno}: no global statement"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_library_does_not_print(path: Path):
    calls = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls, f"{name_of(path)} line {calls[0]}: log, or print in an app with typer.echo"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_exception_is_caught_blindly(path: Path):
    """A handler of everything either raises again or hands the error to another thread."""
    handlers = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ExceptHandler)]
    kinds = [(node, getattr(node.type, "id", node.type)) for node in handlers]
    blind = [
        node.lineno
        for node, kind in kinds
        if kind in (None, "Exception")
        or (kind == "BaseException" and node.name is None and not isinstance(node.body[-1], ast.Raise))
    ]
    assert not blind, f"{name_of(path)} line {blind[0]}: name what you expect"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_sources_are_ascii_and_name_no_machine(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.isascii(), f"{name_of(path)}: formulas are spelled, for example alpha"
    found = re.search(r"/(?:home|root|Users|work|mnt|opt)/\w+", text)
    assert found is None, f"{name_of(path)} names {found and found[0]}: paths are arguments"
