"""Layouts of lists, and what they say of clips besides sources and captions."""

import logging

import pytest

from rufous.data.list_rows import CSV_LAYOUTS, ListRow, check_times, inside, read_rows


@pytest.fixture
def read(tmp_path):
    def rows(*lines: str) -> list[ListRow]:
        (tmp_path / "list.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return list(read_rows(tmp_path / "list.csv"))

    return rows


@pytest.mark.parametrize(
    ("header", "row", "source", "caption"),
    [
        ("path,id,relpath", "x/1.mp4,0,1.mp4", "x/1.mp4", None),  # convert
        ("path,id,relpath,text,num_frames", "x/1.mp4,0,1.mp4,Rain,24", "x/1.mp4", "Rain"),  # captioned
        ("path,num_frames,height,width,fps", "x/1.mp4,24,32,48,8", "x/1.mp4", None),  # info
        ("path,text", "x/1.mp4,", "x/1.mp4", None),
        ("path", "x/1.mp4", "x/1.mp4", None),
        ("relpath,text", "k/7.mp4,Rain", "k/7.mp4", "Rain"),
        ("videoid,page_dir", "1,a", "videos/a/1.mp4", None),
    ],
)
def test_layouts_are_told_by_the_columns_of_their_sources(read, tmp_path, header, row, source, caption):
    assert read(header, row) == [ListRow(source=tmp_path / source, caption=caption)]


def test_known_scores_come_under_our_names(read):
    header = "path,text,aes,flow,match,cmotion"
    first, second = read(header, "a.mp4,A,5.25,1e1,21,zoom in", "b.mp4,B,,nan,,")
    assert dict(first.scores) == {"aesthetic": 5.25, "flow_open_sora": 10.0, "match": 21.0}
    assert dict(first.tags) == {"camera_motion": "zoom_in"}
    assert (dict(second.scores), dict(second.tags)) == ({}, {})
    for wrong in ("low", "inf"):
        with pytest.raises(ValueError, match=f"line 2: aes='{wrong}' is no number"):
            read(header, f"a.mp4,A,{wrong},,,")


def test_columns_that_are_left_out_are_told(read, caplog):
    with caplog.at_level(logging.WARNING, "rufous"):
        read("path,text,aspect_ratio,start_s,ocr,lang", "a.mp4,A,1,0,3,en")
    assert caplog.messages == ["columns of the list that are left out: ocr, lang"]


def test_every_layout_knows_its_own_columns():
    for layout in CSV_LAYOUTS.values():
        assert layout.unread([*layout.sources, layout.caption, *layout.scores, *layout.tags]) == []
        assert not layout.fits(["file"])


def test_times_and_places_are_checked(tmp_path):
    check_times(0.0, 1.0)
    with pytest.raises(ValueError, match="above start_s=1"):
        check_times(1.0, 1.0)
    assert inside(tmp_path, "a/../b.mp4") == tmp_path / "b.mp4"
    with pytest.raises(ValueError, match="leaves the folder"):
        inside(tmp_path, "../b.mp4")
