"""Names of outputs, and what is refused before any work."""

import errno
from pathlib import Path

import pytest

from rufous.apps import outputs
from rufous.apps.outputs import check_outputs, plan_outputs
from rufous.apps.prompt_files import PromptLine

ONE = [PromptLine(prompt="a red circle")]
TWELVE = [PromptLine(prompt=f"clip {i}") for i in range(12)]


def test_one_prompt_takes_the_file_and_a_folder_takes_numbered_files():
    assert plan_outputs(ONE, Path("a.gif")) == [Path("a.gif")]
    assert plan_outputs(ONE, Path("folder")) == [Path("folder/1-a-red-circle.mp4")]
    assert plan_outputs(ONE, None) == [Path("out.mp4")]
    assert [path.name for path in plan_outputs(TWELVE, None)][8:10] == ["09-clip-8.mp4", "10-clip-9.mp4"]


def test_a_folder_with_a_dot_in_its_name_is_a_folder(tmp_path: Path):
    folder = tmp_path / "v1.0"
    folder.mkdir()
    assert plan_outputs(ONE, folder)[0].parent == folder


def test_two_prompts_with_one_name_are_refused():
    twins = [PromptLine(prompt="a", name="x"), PromptLine(prompt="b", name="x.mp4")]
    with pytest.raises(ValueError, match=r"two prompts are named x\.mp4"):
        plan_outputs(twins, Path("folder"))


def test_the_manifest_of_something_else_is_kept_too(tmp_path: Path):
    (tmp_path / "clip.json").write_text("{}")
    with pytest.raises(ValueError, match=r"clip\.json exists: add --overwrite"):
        check_outputs([tmp_path / "clip.mp4"], overwrite=False)
    check_outputs([tmp_path / "clip.mp4"], overwrite=True)


def test_numbered_frames_that_exist_are_kept(tmp_path: Path):
    (tmp_path / "f_00001.png").write_bytes(b"")
    with pytest.raises(ValueError, match="exists: add --overwrite"):
        check_outputs([tmp_path / "f_%05d.png"], overwrite=False)


def test_a_name_with_brackets_is_no_pattern(tmp_path: Path):
    (tmp_path / "my1.mp4").write_bytes(b"")
    check_outputs([tmp_path / "my[1].mp4"], overwrite=False)
    (tmp_path / "my[1].mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"my\[1\]\.mp4 exists"):
        check_outputs([tmp_path / "my[1].mp4"], overwrite=False)


def test_several_prompts_do_not_share_a_file_or_the_frames_of_one_clip():
    for name, says in (("clip.mp4", "is one file for 12 prompts"), ("f_%03d.png", "the frames of one clip")):
        with pytest.raises(ValueError, match=says):
            plan_outputs(TWELVE, Path(name))


def test_a_full_disk_and_an_unwritable_folder_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "new" / "clip.mp4"
    monkeypatch.setattr(outputs, "MIN_FREE_BYTES", 10**18)
    with pytest.raises(OSError, match="the disk is full") as full:
        check_outputs([path], overwrite=False)
    assert full.value.errno == errno.ENOSPC
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written: choose another --output"):
        check_outputs([path], overwrite=False)
    assert not path.parent.exists()
