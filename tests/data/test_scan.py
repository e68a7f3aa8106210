import json
import os
from dataclasses import replace

import pytest

from rufous.data.clip import Clip
from rufous.data.manifest import write_manifest
from rufous.data.scan import scan


@pytest.fixture
def folder(tmp_path):
    """Files by their names; nothing looks into them here."""
    root = tmp_path / "videos"
    for name in ("b.mp4", "a/z.MKV", "a/y.webm", "a/notes.txt", ".hidden/x.mp4", "a/.x.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_a_folder_gives_its_videos_in_order(folder):
    found = scan(folder)
    assert found.clips == (Clip(source="a/y.webm"), Clip(source="a/z.MKV"), Clip(source="b.mp4"))
    assert (found.root, found.problems) == (folder, ())


def test_what_is_no_video_file_is_told_and_passed_over(folder, tmp_path):
    (tmp_path / "outside.mp4").write_bytes(b"x")
    (folder / "folder.mp4").mkdir()
    (folder / "folder.mp4" / "inside.mp4").write_bytes(b"x")
    (folder / "leaves.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "stays.mp4").symlink_to(folder / "b.mp4")
    (folder / "broken.mp4").symlink_to(folder / "absent.mp4")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.mp4")
    found = scan(folder)
    assert {clip.source for clip in found.clips} >= {"stays.mp4", "folder.mp4/inside.mp4"}
    assert len(found.clips) == 5
    assert {each.source: each.reason.split(":")[0] for each in found.problems} == {
        "broken.mp4": "a link to nothing",
        "folder.mp4": "a folder, not a video file; what lies in it is taken",
        "leaves.mp4": "a link that leaves the root",
        "pipe.mp4": "no regular file",
        "up": "a link to a folder",
    }


def test_a_name_that_is_no_text_is_told(folder):
    path = os.fsencode(folder) + b"/\xff.mp4"
    with open(path, "wb"):
        pass
    (problem,) = scan(folder).problems
    assert problem.reason == "its name is not UTF-8: rename it"
    problem.source.encode("utf-8")


def test_a_text_beside_a_video_is_its_caption(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mkv", "e.mp4", "f.mp4"):
        (tmp_path / name).write_bytes(b"video")
    (tmp_path / "a.txt").write_text("A dog\nruns. ")
    (tmp_path / "b.txt").write_text(" \n")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "d.txt").write_text("x" * 70_000)
    (tmp_path / "e.txt").symlink_to("/etc/hostname")
    (tmp_path / "alone.txt").write_text("no video")
    found = scan(tmp_path)
    assert [dict(clip.captions) for clip in found.clips] == [{"original": "A dog runs."}, *[{}] * 5]
    assert [each.source for each in found.problems] == ["c.txt", "d.txt", "e.txt"]
    told = " ".join(each.reason for each in found.problems)
    assert all(part in told for part in ("not UTF-8", "70000 bytes are no caption", "leaves the root"))


def test_a_list_gives_clips_with_their_captions(folder):
    lines = [
        {"source": "b.mp4", "caption": "B", "start_s": 1, "end_s": 2},
        {"source": "b.mp4", "caption": "B again", "start_s": 1},
        {"source": "a/y.webm", "caption": "Y"},
        {"source": "../outside.mp4", "caption": "out"},
        {"source": "absent.mp4", "caption": "gone"},
        {"source": "/etc/x.mp4", "caption": "elsewhere"},
        {"source": "a", "caption": "a folder"},
        {"source": "b.mp4", "caption": 7},
        {"source": "a/z.MKV", "caption": "half a character: \ud83d"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nno json\n"
    (folder / "list.jsonl").write_text(text)
    found = scan(folder / "list.jsonl")
    assert found.clips == (
        Clip(source="a/y.webm", captions={"original": "Y"}),
        Clip(source="b.mp4", start_s=1.0, end_s=2.0, captions={"original": "B"}),
    )
    told = {each.source: each.reason for each in found.problems}
    assert "leaves the folder" in told["list.jsonl, line 4"]
    assert "lies outside the root" in told["/etc/x.mp4"]
    assert told["absent.mp4"] == "no such file"
    assert told["a"] == "a folder, not a video file"
    assert told["b.mp4"] == "named twice from 1.0 s on: the first one counts"
    assert "no caption" in told["list.jsonl, line 8"]
    assert "no JSON" in told["list.jsonl, line 10"]
    assert told["a/z.MKV"] == "its caption is not UTF-8: correct it"


def test_a_list_may_have_another_root_and_a_published_layout(folder, tmp_path):
    (tmp_path / "list.csv").write_text("path,text,num_frames\nb.mp4,B,3\na/z.MKV,Z\n")
    found = scan(tmp_path / "list.csv", root=folder)
    assert found.clips == (Clip(source="b.mp4", captions={"original": "B"}),)
    assert found.problems[0].source == "list.csv, line 3"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent", "give a folder, or a list"),
        ("b.mp4", "ends in .jsonl or .csv or .parquet"),
        ("empty", "holds no video"),
    ],
)
def test_what_holds_no_clips_is_refused(folder, name, told):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=told):
        scan(folder / name)


def test_a_list_of_wrong_lines_alone_says_what_is_wrong(folder):
    (folder / "list.csv").write_text("path,text\nabsent.mp4,A\n")
    with pytest.raises(ValueError, match=r"holds no video: absent.mp4: no such file"):
        scan(folder / "list.csv")
    with pytest.raises(ValueError, match="is for lists"):
        scan(folder, root=folder)


def test_a_list_may_have_no_captions_yet(folder):
    (folder / "list.jsonl").write_text('{"source": "b.mp4"}\n{"source": "a/y.webm", "caption": " "}\n')
    (folder / "list.csv").write_text("path,id,relpath\nb.mp4,0,b.mp4\na/y.webm,1,a/y.webm\n")
    bare = (Clip(source="a/y.webm"), Clip(source="b.mp4"))
    for name in ("list.jsonl", "list.csv"):
        found = scan(folder / name)
        assert (found.clips, found.problems) == (bare, ())


def test_scores_of_an_open_sora_list_have_our_names(folder):
    header = "path,id,relpath,num_frames,height,width,fps,aes,flow,match,cmotion,text\n"
    rows = "b.mp4,0,b.mp4,24,32,48,8,5.5,,nan,Pan left,B\na/y.webm,1,y,24,32,48,8,high,1,2,,Y\n"
    (folder / "list.csv").write_text(header + rows)
    found = scan(folder / "list.csv")
    (clip,) = found.clips
    assert (dict(clip.scores), dict(clip.tags)) == ({"aesthetic": 5.5}, {"camera_motion": "pan_left"})
    assert found.problems[0].reason == "aes='high' is no number"


@pytest.fixture
def rows():
    """Of a run over the folder: one is dropped, one had an error."""
    return [
        Clip(
            source="b.mp4",
            start_s=1.0,
            end_s=2.0,
            content_id="abc",
            info={"width": 320, "is_variable_fps": False},
            scores={"flow": 1.5},
            tags={"camera_motion": "static"},
            captions={"original": "B", "described": "A b, seen."},
            errors={"describe": "no answer"},
        ),
        Clip(source="a/y.webm", dropped="flow>=1: 0 is below 1"),
        Clip(source="absent.mp4"),
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_manifest_gives_what_was_kept_and_measured(folder, tmp_path, rows, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = write_manifest(tmp_path / f"clips{suffix}", rows)
    (tmp_path / "run.json").write_text(json.dumps({"root": str(folder)}))
    found = scan(path)
    assert found.clips == (replace(rows[0], errors={}),)
    assert (found.root, found.num_dropped) == (folder, 1)
    assert [each.source for each in found.problems] == ["absent.mp4"]
    whole = scan(path, root=folder, with_dropped=True)
    assert [clip.source for clip in whole.clips] == ["a/y.webm", "b.mp4"]
    assert all(clip.dropped is None for clip in whole.clips)


def test_only_a_manifest_has_dropped_rows(folder):
    (folder / "list.csv").write_text("path,text\nb.mp4,A\n")
    for path in (folder, folder / "list.csv"):
        with pytest.raises(ValueError, match="is no manifest"):
            scan(path, with_dropped=True)


def test_a_manifest_whose_root_is_not_known_asks_for_it(folder, tmp_path, rows):
    path = write_manifest(tmp_path / "clips.jsonl", rows)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r"names no root .*: give --root"):
        scan(path)
    (tmp_path / "run.json").write_text(json.dumps({"root": "/nowhere"}))
    with pytest.raises(ValueError, match="root=/nowhere: no such folder: give --root"):
        scan(path)


def test_a_table_that_is_no_manifest_is_named(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table({"path": ["a.mp4"]})
    parquet.write_table(table, tmp_path / "list.parquet")
    with pytest.raises(ValueError, match=r"list\.parquet: no manifest of clips: the column path is none"):
        scan(tmp_path / "list.parquet")


def test_a_manifest_of_dropped_rows_alone_says_so(folder, rows):
    path = write_manifest(folder / "clips.jsonl", rows[1:2])
    with pytest.raises(ValueError, match="its 1 rows were dropped, --with-dropped takes them"):
        scan(path)


def test_sources_of_a_manifest_stay_below_its_root(folder):
    path = write_manifest(folder / "clips.jsonl", [Clip(source="../x.mp4"), Clip(source="/etc/x.mp4")])
    with pytest.raises(ValueError, match=r"\.\./x\.mp4: the source .* leaves the folder"):
        scan(path)
    path.write_text('{"source": "b.mp4", "scores": {"flow": "fast"}}\n')
    with pytest.raises(ValueError, match=r"clips\.jsonl, line 1"):
        scan(path)
