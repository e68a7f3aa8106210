"""The documentation is true: snippets run, commands parse, links and files exist, the map is the tree.

A fenced ``python`` block runs after those before it on its page, in an empty folder. A comment on the line
before it says otherwise. ``<!-- needs-model -->``: it loads a model, here a tiny one, in the slow test the
embedded one. ``<!-- sketch -->``: it is a part of a file and only has to be valid Python.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from rufous.apps.cli import app
from rufous.checkpoints import Manifest, embedded_models, save_release
from rufous.core import override
from rufous.diffusion import SOLVERS
from rufous.recipes import RECIPES
from rufous.world.captions import MOTION_PHRASES
from rufous.world.scene import BACKGROUND_COLORS, COLORS, SIZES
from rufous.world.shapes import SHAPES
from tests.tiny_release import tiny_components

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
PYTHON = re.compile(r"(?:^<!-- ([\w-]+) -->\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TAGS = ("", "needs-model", "sketch")


@dataclass(frozen=True)
class Snippet:
    """One fenced block of Python."""

    tag: str
    code: str
    line: int


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(found[1] or "", found[2], text[: found.start(2)].count("\n") + 1)
        for found in PYTHON.finditer(text)
    ]


def ids(page: Path) -> str:
    return page.name


def run_page(page: Path) -> None:
    """Run the snippets of a page in one namespace; tracebacks show the page's own lines."""
    namespace: dict[str, object] = {"__name__": "snippet"}
    for snippet in snippets(page):
        padded = "\n" * (snippet.line - 1) + snippet.code
        code = compile(padded, str(page), "exec")
        if snippet.tag != "sketch":
            exec(code, namespace)


PAGES_WITH_CODE = [page for page in PAGES if snippets(page)]
PAGES_WITH_MODEL = [page for page in PAGES if any(s.tag == "needs-model" for s in snippets(page))]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole release with random weights in place of the embedded model."""
    folder = tmp_path_factory.mktemp("releases") / "tiny"
    save_release(folder, tiny_components(), Manifest(name="tiny"))
    return folder


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, and registries that are afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    solvers = dict(SOLVERS)
    yield
    SOLVERS.clear()
    SOLVERS.update(solvers)


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=ids)
def test_snippets_run(page, workplace, stand_in, monkeypatch):
    if page in PAGES_WITH_MODEL:
        for place in ("rufous.checkpoints", "rufous.pipelines.loading"):
            monkeypatch.setattr(f"{place}.find_release", lambda name, **_: stand_in)
    run_page(page)


@pytest.mark.slow
@pytest.mark.skipif(not embedded_models(), reason="no embedded model in this checkout")
@pytest.mark.parametrize("page", PAGES_WITH_MODEL, ids=ids)
def test_snippets_run_with_the_embedded_model(page, workplace):
    run_page(page)


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=ids)
def test_tags_of_snippets_are_known(page):
    assert {snippet.tag for snippet in snippets(page)} <= set(TAGS)


def test_parts_of_files_are_valid_python():
    sketches = [(page, s) for page in PAGES for s in snippets(page) if s.tag == "sketch"]
    for page, sketch in sketches:
        assert ast.parse(sketch.code).body, f"{page.name}, line {sketch.line}"


def commands(page: Path) -> set[str]:
    """Every command line of ``rufous`` on a page: lines of shell and indented blocks, and inline code."""
    text = page.read_text(encoding="utf-8")
    shell = "\n".join(found[2] for found in FENCE.finditer(text) if found[1] in ("sh", "bash", "console"))
    rest = FENCE.sub("", text)
    lines = re.sub(r"\\\n\s*", " ", shell).splitlines() + re.findall(r"^    (\S.*)$", rest, re.MULTILINE)
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
    found = [line.strip().removeprefix("$ ") for line in [*lines, *inline]]
    return {line for line in found if line.startswith("rufous ")}


COMMANDS = sorted({(page.name, line) for page in PAGES for line in commands(page)})


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value)
def test_commands_exist_with_these_options(page, line):
    _, *arguments = shlex.split(line, comments=True)
    group = typer.main.get_command(app)
    if arguments[0].startswith("-"):
        known = {"--verbose", "--help", "-h", *(option for part in group.params for option in part.opts)}
        assert set(arguments) <= known, f"{page}: {line}"
        return
    command = group.commands[arguments[0]]
    arguments = [each for each in arguments[1:] if each not in ("--verbose", "--help")]
    needs_nothing = not any(part.required for part in command.params)
    if arguments or needs_nothing:  # a bare name, as in "rufous convert does ...", names a command only
        context = command.make_context(command.name, list(arguments))
        check_recipe(context.params)


def check_recipe(values: dict) -> None:
    """A recipe that is named exists, and takes these overrides; capitals are placeholders."""
    name = values.get("recipe")
    if name is None or name.isupper():
        return
    concrete = [text for text in values["overrides"] or [] if not text.startswith("key=")]
    override(RECIPES[name].preset(values["preset"]), concrete)


def headings(page: Path) -> set[str]:
    """Anchors of a page, as the usual viewers make them."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def problem(page: Path, link: str) -> str | None:
    """What is wrong with a relative link, or None."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{link} does not exist"
    return f"{link} is no heading there" if anchor and anchor not in headings(target) else None


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_resolve(page):
    assert [found for link in links(page) if (found := problem(page, link))] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:rufous|tests|docs|examples)/[\w/.-]+)`", page.read_text(encoding="utf-8"))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, f"{page.name} names {', '.join(missing)}"


def test_the_map_of_the_readme_is_the_tree():
    listed = re.findall(r"^\| `rufous/(\w+)/` \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    folders = [path.parent.name for path in (ROOT / "rufous").glob("*/__init__.py")]
    assert sorted(listed) == sorted(folders)


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    assert not [page.name for page in PAGES[1:] if page.resolve() not in linked]


def test_every_command_is_in_the_table_of_the_readme():
    listed = set(re.findall(r"^\| `rufous (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == set(typer.main.get_command(app).commands)


def test_the_readme_says_all_that_the_embedded_model_knows():
    text = README.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| ([^|]+) \|$", text, re.MULTILINE))
    known = {"shapes": SHAPES, "colours": COLORS, "sizes": SIZES, "backgrounds": BACKGROUND_COLORS}
    for row, names in known.items():
        assert re.split(r"[,;] ", rows[row])[: len(names)] == list(names), row
    said = rows["motions"].split(", ")
    assert all(phrase in options for phrase, options in zip(said, MOTION_PHRASES.values(), strict=True)), said


def test_the_floors_in_contributing_hold_every_folder():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = " ".join(re.findall(r"^    \d  (.*)$", text, re.MULTILINE)).split()
    folders = [path.parent.name for path in (ROOT / "rufous").glob("*/__init__.py")]
    assert sorted(listed) == sorted(folders)


def test_targets_of_make_exist():
    named = {
        target
        for page in PAGES
        for target in re.findall(
            r"(?:^|`)make ([\w-]+)(?:`|$)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    rules = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= rules
