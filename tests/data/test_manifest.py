import errno
import json
import random
from pathlib import Path

import pytest

from rufous.core.devices import peak_resident_bytes
from rufous.data.clip import Clip
from rufous.data.manifest import columns, manifest_metadata, read_manifest, write_manifest

pytest.importorskip("pyarrow")

CLIPS = [
    Clip(
        source="a/caf\u00e9, 1.mp4",
        start_s=0.5,
        end_s=2.25,
        content_id="f" * 64,
        info={"width": 320, "fps": 23.976, "has_audio": False, "codec": "h264"},
        scores={"flow": 0.1, "technical_sharpness": 1e-9},
        tags={"camera_motion": "pan_left"},
        captions={"original": 'A "quoted"\nline, and more', "rewritten": "B"},
    ),
    Clip(source="b.mp4", errors={"probe": "empty file"}, dropped="probe: empty file"),
    Clip(source="c.mp4", content_id="e" * 64, info={"width": 64, "fps": 24, "has_audio": True}),
]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_clips_come_back_from_a_file(tmp_path, suffix):
    path = write_manifest(tmp_path / f"clips{suffix}", CLIPS)
    assert list(read_manifest(path)) == CLIPS
    assert list(tmp_path.iterdir()) == [path]


def test_columns_are_named_by_kind_and_typed_in_one_order():
    told = columns(CLIPS)
    assert list(told)[:5] == ["source", "start_s", "end_s", "content_id", "dropped"]
    assert list(told)[5:9] == ["info_codec", "info_fps", "info_has_audio", "info_width"]
    assert told["info_fps"] is float
    assert told["info_width"] is int
    assert list(columns(CLIPS[::-1])) == list(told)


def test_a_value_of_two_types_is_refused_and_nothing_is_written(tmp_path):
    clips = [Clip(source="a", info={"x": 1}), Clip(source="b", info={"x": "one"})]
    with pytest.raises(ValueError, match="info_x is int in one clip and str in b"):
        write_manifest(tmp_path / "a.parquet", clips)
    assert list(tmp_path.iterdir()) == []


def test_parquet_keeps_what_it_was_made_with_and_is_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        write_manifest(tmp_path / f"{name}.parquet", CLIPS, metadata={"preset": "hummingbird"})
    assert manifest_metadata(tmp_path / "a.parquet") == {"preset": "hummingbird"}
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_full_disk_leaves_the_manifest_that_stood_there(tmp_path, monkeypatch):
    path = write_manifest(tmp_path / "a.parquet", CLIPS)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_manifest(path, CLIPS[:1])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.parquet", "no parquet", "no manifest of clips"),
        ("a.jsonl", '{"source": "a"}\n{"source": ""}\n', "a.jsonl, line 2: source='' is no path"),
        ("a.jsonl", "[]\n", "a.jsonl, line 1"),
        ("a.csv", "source,colour\na,b\n", "line 2: the column colour is none of a manifest"),
        ("a.csv", "source,start_s\na\n", "line 2: no cell under start_s"),
        ("a.csv", "source,start_s\na,soon\n", "line 2: could not convert"),
        ("a.txt", "", "unknown suffix '.txt': use .parquet, .jsonl, .csv"),
    ],
)
def test_other_files_are_refused_with_the_line(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=told):
        list(read_manifest(tmp_path / name))
    with pytest.raises(ValueError, match="no such file"):
        list(read_manifest(tmp_path / "absent.csv"))


@pytest.mark.slow
def test_ten_thousand_rows_are_read_in_groups_with_little_memory(tmp_path):
    draw = random.Random(0)
    clips = [
        Clip(
            source=f"{i}.mp4",
            content_id=f"{draw.getrandbits(256):064x}",
            scores={f"score_{k}": draw.random() for k in range(20)},
            captions={"original": " ".join(f"{draw.getrandbits(24):x}" for _ in range(30))},
        )
        for i in range(10_000)
    ]
    before = peak_resident_bytes()
    path = write_manifest(tmp_path / "a.parquet", clips)
    assert sum(1 for _ in read_manifest(path)) == 10_000
    grown_mb = (peak_resident_bytes() - before) / 1024**2
    assert grown_mb < 200
    assert next(read_manifest(path)) == clips[0]


def test_json_lines_hold_clips_as_dicts(tmp_path):
    path = write_manifest(tmp_path / "a.jsonl", CLIPS)
    assert json.loads(Path(path).read_text().splitlines()[0]) == CLIPS[0].to_dict()
