from dataclasses import replace
from pathlib import Path

import pytest

from rufous.checkpoints.vbench import VBENCH_FILES, find_vbench_file, vbench_cache, vbench_sha256
from rufous.core.errors import CheckpointError, MissingWeightsError
from rufous.core.files import sha256_of


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VBENCH_CACHE_DIR", raising=False)
    return tmp_path


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_cache_is_vbenchs_unless_the_variable_names_another(home, monkeypatch):
    assert vbench_cache() == home / ".cache" / "vbench"
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(home / "weights"))
    assert vbench_cache() == home / "weights"


def test_a_file_is_looked_for_in_vbenchs_cache_then_where_its_package_keeps_it(home):
    other = put(home / ".cache" / "clip" / "ViT-B-32.pt")
    assert find_vbench_file("clip_b_32") == other
    own = put(home / ".cache" / "vbench" / "clip_model" / "ViT-B-32.pt")
    assert find_vbench_file("clip_b_32") == own
    assert find_vbench_file("clip_b_32", other) == other


def test_a_missing_file_is_named_with_its_places_its_address_and_its_checksum(home):
    with pytest.raises(CheckpointError) as error:
        find_vbench_file("musiq")
    kept = f"{home}/.cache/vbench/pyiqa_model/musiq_spaq_ckpt-358bb6af.pth"
    assert str(error.value) == (
        f"musiq_spaq_ckpt-358bb6af.pth is missing: looked for {kept} and "
        f"{home}/.cache/torch/hub/pyiqa/musiq_spaq_ckpt-358bb6af.pth; "
        "get https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/"
        f"musiq_spaq_ckpt-358bb6af.pth (sha256 358bb6af) and put it at {kept}, or set VBENCH_CACHE_DIR"
    )


def test_a_path_that_is_named_is_the_only_one_looked_at(home):
    put(home / ".cache" / "vbench" / "amt_model" / "amt-s.pth")
    with pytest.raises(CheckpointError, match=r"looked for .*mine\.pth; get https://huggingface"):
        find_vbench_file("amt_s", home / "mine.pth")


def test_an_archive_is_to_be_unpacked(home):
    with pytest.raises(
        CheckpointError, match=r"get and unpack https://.*models\.zip \(sha256 unknown here\)"
    ):
        find_vbench_file("raft")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no file 'sift': use raft, amt_s"):
        find_vbench_file("sift")


def test_places_are_files_below_the_cache_and_checksums_are_hexadecimal():
    assert len({file.place for file in VBENCH_FILES.values()}) == len(VBENCH_FILES)
    for file in VBENCH_FILES.values():
        assert not Path(file.place).is_absolute()
        assert file.url.startswith("https://")
        assert file.sha256 is None or int(file.sha256, 16)


def test_a_checksum_that_a_source_tells_is_compared(home, monkeypatch):
    with pytest.raises(MissingWeightsError):
        vbench_sha256("musiq")
    raft, musiq = (put(home / ".cache" / "vbench" / VBENCH_FILES[name].place) for name in ("raft", "musiq"))
    raft.write_bytes(b"any")
    assert vbench_sha256("raft") == sha256_of(raft)  # no source tells its checksum
    with pytest.raises(
        CheckpointError, match=r"musiq.* is damaged or another file: its sha256 is e3b0c44298fc"
    ):
        vbench_sha256("musiq")
    monkeypatch.setitem(VBENCH_FILES, "musiq", replace(VBENCH_FILES["musiq"], sha256="e3b0c442"))
    assert vbench_sha256("musiq") == sha256_of(musiq)
