from collections.abc import Callable
from pathlib import Path

import pytest

from rufous.checkpoints.chain import verify_chain, walk
from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import save_release
from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a release of one settings file whose parents are releases (role: their name), and return it."""

    def write(name: str, *parents: Path, folder: str | None = None, **fields: object) -> Path:
        named = [Manifest.load(path) for path in parents]
        entries = tuple(Parent(name=m.name, manifest_id=m.id, role=f"{m.name} of {name}") for m in named)
        path = tmp_path / (folder or name)
        manifest = Manifest(**{"name": name, "parents": entries, **fields})  # type: ignore[arg-type]
        save_release(path, {"scheduler": DiffusionConfig()}, manifest)
        return path

    return write


def lines(*args: object, **kwargs: object) -> list[tuple[int, str, str]]:
    """Depth, name and state of every link."""
    return [(depth, link.name, link.state) for depth, link, _ in walk(verify_chain(*args, **kwargs))]  # type: ignore[arg-type]


def spoil(release: Path) -> None:
    config = release / "scheduler" / "config.json"
    config.write_text(config.read_text() + "\n")


def test_a_whole_chain_is_ok_from_the_last_release_up(make: Make):
    teacher = make("teacher")
    pruned = make("pruned", teacher)
    recovered = make("recovered", pruned, teacher)
    roots = verify_chain([teacher, recovered, pruned])
    assert [root.name for root in roots] == ["recovered"]
    assert roots[0].manifest_id == Manifest.load(recovered).id
    assert roots[0].role is None
    assert [(link.name, link.role, link.state) for link in roots[0].parents] == [
        ("pruned", "pruned of recovered", "ok"),
        ("teacher", "teacher of recovered", "ok"),
    ]


def test_parents_are_found_at_any_depth_of_a_searched_folder(make: Make, tmp_path: Path):
    child = make("child", make("parent", folder="store/deep/release"))
    assert lines([child]) == [(0, "child", "ok"), (1, "parent", "missing")]
    assert lines([child], search=[tmp_path / "store"]) == [(0, "child", "ok"), (1, "parent", "ok")]


def test_an_earlier_release_of_the_same_name_is_missing_and_not_changed(make: Make, tmp_path: Path):
    later = make("model", make("model", folder="store/earlier"))
    assert lines([later]) == [(0, "model", "ok"), (1, "model", "missing")]
    assert lines([later], search=[tmp_path / "store"]) == [(0, "model", "ok"), (1, "model", "ok")]


def test_a_release_that_is_being_written_is_not_looked_at(make: Make, tmp_path: Path):
    child = make("child", make("parent", folder="store/.parent-x1/release"))
    assert lines([child], search=[tmp_path / "store"])[1] == (1, "parent", "missing")


def test_a_changed_file_of_a_parent_is_named(make: Make):
    parent = make("parent")
    child = make("child", parent)
    spoil(parent)
    (root,) = verify_chain([child, parent])
    assert (root.state, root.parents[0].state) == ("ok", "changed")
    assert "changed scheduler/config.json" in str(root.parents[0].reason)


def test_an_intact_copy_stands_in_for_a_damaged_one_but_the_damage_is_reported(make: Make):
    parent = make("parent")
    child, copy = make("child", parent), make("parent", folder="copy")
    spoil(parent)
    roots = verify_chain([child, parent, copy])
    assert [(root.name, root.state) for root in roots] == [("child", "ok"), ("parent", "changed")]
    assert roots[0].parents[0].path == copy


def test_a_given_release_of_a_parents_name_and_another_id_is_an_exchanged_parent(make: Make):
    parent = make("parent")
    child = make("child", parent)
    other = make("parent", folder="other", seeds={"data": 2})
    (root, again) = verify_chain([child, other])
    assert root.parents[0].state == "changed"
    assert root.parents[0].reason == f"{other} is {Manifest.load(other).id}"
    assert root.parents[0].manifest_id == Manifest.load(parent).id
    assert (again.name, again.state) == ("parent", "ok")


def test_a_release_of_a_parents_name_that_is_only_found_leaves_the_parent_missing(make: Make, tmp_path: Path):
    child = make("child", make("release", folder="elsewhere/teacher"))
    other = make("release", folder="runs/student", seeds={"data": 2})
    (root,) = verify_chain([child], search=[tmp_path / "runs"])
    assert root.parents[0].state == "missing"
    assert root.parents[0].reason == f"{other} is {Manifest.load(other).id}"


def test_a_found_parent_whose_own_hashes_fail_is_changed(make: Make, tmp_path: Path):
    parent = make("parent", folder="runs/parent")
    child = make("child", parent)
    spoil(parent)
    assert lines([child], search=[tmp_path / "runs"])[1] == (1, "parent", "changed")


def test_embedded_models_are_always_searched(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    teacher = make("world-teacher", folder="package/world-teacher")
    child = make("child", teacher)
    monkeypatch.setattr("rufous.checkpoints.chain.embedded_models", lambda: {"world-teacher": teacher})
    assert lines([child]) == [(0, "child", "ok"), (1, "world-teacher", "ok")]


def test_a_manifest_that_the_search_cannot_read_is_passed_by_with_a_warning(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    child = make("child", make("parent", folder="runs/parent"))
    broken = make("broken", folder="runs/broken")
    (broken / "rufous.json").write_text("{")
    assert lines([child], search=[tmp_path / "runs"]) == [(0, "child", "ok"), (1, "parent", "ok")]
    assert str(broken / "rufous.json") in caplog.text
    with pytest.raises(CheckpointError, match="cannot be read"):
        verify_chain([child, broken])


def test_a_diamond_is_hashed_and_entered_once(make: Make, monkeypatch: pytest.MonkeyPatch):
    base = make("base", make("first"))
    left, right = make("left", base), make("right", base)
    top = make("top", left, right)
    hashed: list[str] = []
    monkeypatch.setattr(
        "rufous.checkpoints.chain.verify_release", lambda folder: hashed.append(Path(folder).name)
    )
    links = list(walk(verify_chain([top], search=[top.parent])))
    assert sorted(hashed) == ["base", "first", "left", "right", "top"]
    assert [(depth, link.name, is_repeated) for depth, link, is_repeated in links] == [
        (0, "top", False),
        (1, "left", False),
        (2, "base", False),
        (3, "first", False),
        (1, "right", False),
        (2, "base", True),
    ]


def test_releases_that_name_each_other_do_not_hang(make: Make, monkeypatch: pytest.MonkeyPatch):
    a = make("a", parents=(Parent(name="b", manifest_id="id of b"),))
    b = make("b", parents=(Parent(name="a", manifest_id="id of a"),))
    assert lines([a, b]) == [(0, "a", "ok"), (1, "b", "changed"), (0, "b", "ok"), (1, "a", "changed")]
    monkeypatch.setattr(Manifest, "id", property(lambda self: f"id of {self.name}"))  # as if ids were forged
    assert lines([a, b]) == [(0, "a", "ok"), (1, "b", "ok"), (2, "a", "changed")]


@pytest.mark.parametrize(
    ("content", "state"), [(b"weights", "ok"), (b"others", "missing"), (None, "missing")]
)
def test_a_published_file_is_found_by_its_name_and_compared_by_its_hash(
    make: Make, tmp_path: Path, content: bytes | None, state: str
):
    files = tmp_path / "downloads" / "owner"
    files.mkdir(parents=True)
    (files / "model.ckpt").write_bytes(b"weights")
    parent = Parent(name="owner/hub/model.ckpt", sha256=sha256_of(files / "model.ckpt"))
    child = make("child", parents=(parent,))
    (files / "model.ckpt").unlink()
    if content is not None:
        (files / "model.ckpt").write_bytes(content)
    link = verify_chain([child], search=[files.parent])[0].parents[0]
    assert (link.name, link.state) == ("owner/hub/model.ckpt", state)
    assert link.reason == (f"another hash: {files / 'model.ckpt'}" if content == b"others" else None)


def test_a_published_file_is_hashed_once(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "downloads" / "model.ckpt"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    parent = Parent(name="hub/model.ckpt", sha256=sha256_of(file))
    first, second = make("first", parents=(parent,)), make("second", parents=(parent,))
    hashed: list[Path] = []

    def counting(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr("rufous.checkpoints.chain.sha256_of", counting)
    roots = verify_chain([first, second], search=[tmp_path, file.parent])
    assert [root.parents[0].state for root in roots] == ["ok", "ok"]
    assert hashed == [file]


def test_a_parent_without_a_hash_proves_nothing(make: Make):
    make("parent")
    child = make("child", parents=(Parent(name="parent"),))
    (root,) = verify_chain([child])
    assert root.parents[0].state == "missing"
    assert "without a hash" in str(root.parents[0].reason)


def test_what_is_no_release_or_folder_is_refused(make: Make, tmp_path: Path):
    with pytest.raises(CheckpointError, match="not a complete release folder"):
        verify_chain([tmp_path / "nothing"])
    with pytest.raises(ValueError, match="is no folder"):
        verify_chain([make("a")], search=[tmp_path / "nothing"])
