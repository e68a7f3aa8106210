import csv

import pytest

from rufous.data.clip import Clip
from rufous.data.published_csv import write_published_csv
from rufous.data.records import read_clip_list

INFO = {"width": 320, "height": 180, "fps": 24.0, "num_frames": 48, "duration_s": 2.0}


def clip(source: str = "x/1.mp4", **values) -> Clip:
    captions = {"original": "A, first", "rewritten": "A better one"}
    return Clip(source=source, **{"info": INFO, "captions": captions, **values})


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_hummingbird_takes_path_and_text(tmp_path):
    dropped = clip("y.mp4", dropped="flow: slow")
    path = write_published_csv(tmp_path / "a.csv", [clip(), dropped], layout="hummingbird")
    assert rows(path) == [{"path": "x/1.mp4", "text": "A better one"}]
    (record,) = read_clip_list(path)
    assert (record.source, record.caption) == (tmp_path / "x/1.mp4", "A better one")


def test_open_sora_takes_size_and_scores(tmp_path):
    scored = clip(
        scores={"aesthetic": 5.5, "flow": 9.0, "flow_open_sora": 1.0}, tags={"camera_motion": "static"}
    )
    path = write_published_csv(tmp_path / "a.csv", [scored], layout="open-sora", captions=("original",))
    assert rows(path) == [
        {
            **{"path": "x/1.mp4", "text": "A, first", "num_frames": "48", "height": "180", "width": "320"},
            **{"aspect_ratio": "0.5625", "fps": "24.0", "resolution": "57600", "aes": "5.5", "flow": "1.0"},
            "cmotion": "static",
        }
    ]
    assert read_clip_list(path)[0].caption == "A, first"


def test_webvid_takes_its_own_places_alone(tmp_path):
    path = write_published_csv(tmp_path / "a.csv", [clip("videos/000_050/12.mp4")], layout="webvid")
    assert rows(path) == [{"videoid": "12", "page_dir": "000_050", "name": "A better one"}]
    assert read_clip_list(path)[0].source == tmp_path / "videos/000_050/12.mp4"
    with pytest.raises(ValueError, match="does not lie at videos/PAGE_DIR"):
        write_published_csv(tmp_path / "b.csv", [clip()], layout="webvid")


def test_parts_of_files_bring_their_times(tmp_path):
    parts = [clip(end_s=0.5).with_info(num_frames=3), clip(start_s=0.5).with_info(num_frames=45)]
    path = write_published_csv(tmp_path / "a.csv", parts, layout="open-sora")
    assert [(row["start_s"], row["end_s"], row["num_frames"]) for row in rows(path)] == [
        ("0.0", "0.5", "3"),
        ("0.5", "", "45"),
    ]
    assert [(record.start_s, record.end_s) for record in read_clip_list(path)] == [(0.0, 0.5), (0.5, None)]


@pytest.mark.parametrize(
    ("clips", "layout", "told"),
    [
        ([clip()], "own", "layout='own' is unknown: use hummingbird, open-sora, webvid"),
        ([clip(dropped="x: y")], "webvid", "no clip is kept"),
        ([clip(captions={})], "hummingbird", "x/1.mp4 has no caption of rewritten, described, original"),
        ([clip(info={})], "open-sora", "has no width: run the stage probe"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path, clips, layout, told):
    with pytest.raises(ValueError, match=told):
        write_published_csv(tmp_path / "a.csv", clips, layout=layout)
    assert list(tmp_path.iterdir()) == []
