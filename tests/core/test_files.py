import hashlib
import os

import pytest

from rufous.core.files import atomic_path, cached_sha256_of, sha256_of, state_of, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            assert temporary.suffix == ".mp4"
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_write_replaces_the_file_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o444 == 0o444


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"rufous")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"rufous").hexdigest()


def test_a_file_is_hashed_again_when_it_has_changed(tmp_path):
    path = tmp_path / "x"
    assert state_of(path)[0] == -1
    for second, content in enumerate((b"one", b"two")):
        path.write_bytes(content)
        os.utime(path, (second, second))
        assert cached_sha256_of(path) == sha256_of(path)
    with pytest.raises(FileNotFoundError):
        cached_sha256_of(tmp_path / "absent")
