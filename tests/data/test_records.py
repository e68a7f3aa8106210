import json
from pathlib import Path

import pytest

from rufous.data import ClipRecord, read_clip_list


@pytest.fixture
def write(tmp_path):
    def make(name: str, *lines: str) -> Path:
        path = tmp_path / "lists" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return make


def test_json_lines_hold_source_caption_and_times(write):
    path = write(
        "clips.jsonl",
        json.dumps({"source": "a/b.mp4", "caption": "A caf\u00e9, and\nrain"}),
        "",
        json.dumps({"source": "c.mkv", "caption": "Snow", "start_s": 2, "end_s": 4.5}),
        json.dumps({"source": "c.mkv", "caption": "Hail", "start_s": None, "end_s": None}),
    )
    assert read_clip_list(path) == [
        ClipRecord(source=path.parent / "a/b.mp4", caption="A caf\u00e9, and\nrain"),
        ClipRecord(source=path.parent / "c.mkv", caption="Snow", start_s=2.0, end_s=4.5),
        ClipRecord(source=path.parent / "c.mkv", caption="Hail"),
    ]


@pytest.mark.parametrize(
    ("header", "row", "source", "caption"),
    [
        ("path,text", 'x/1.mp4,"Rain, then ""sun"""', "x/1.mp4", 'Rain, then "sun"'),
        (
            "videoid,contentUrl,duration,page_dir,name",
            "00123,http://a/b,PT1M,000001_000050,Waves",
            "videos/000001_000050/00123.mp4",
            "Waves",
        ),
        ("text,relpath,short_text,latent_root", "A long cat,k/7.mp4,cat,l", "k/7.mp4", "A long cat"),
    ],
)
def test_published_layouts_are_told_by_their_columns(write, tmp_path, header, row, source, caption):
    path = write("clips.csv", header, row)
    assert read_clip_list(path, root=tmp_path) == [ClipRecord(source=tmp_path / source, caption=caption)]


def test_a_csv_may_have_times_a_byte_order_mark_and_texts_of_several_lines(write, tmp_path):
    path = write("clips.CSV", "\ufeffpath,text,start_s,end_s", 'a.mp4,"One', 'two",1.5,3', "b.mp4,Three,,")
    assert read_clip_list(path, root=str(tmp_path)) == [
        ClipRecord(source=tmp_path / "a.mp4", caption="One\ntwo", start_s=1.5, end_s=3.0),
        ClipRecord(source=tmp_path / "b.mp4", caption="Three"),
    ]


def test_absolute_sources_stay_and_relative_ones_may_turn_round_inside_the_root(write, tmp_path):
    path = write("clips.csv", "path,text", "/elsewhere/../a.mp4,A", "x/../y/b.mp4,B", "dots..mp4,C")
    sources = [record.source for record in read_clip_list(path, root=tmp_path)]
    assert sources == [Path("/elsewhere/../a.mp4"), tmp_path / "y/b.mp4", tmp_path / "dots..mp4"]


@pytest.mark.parametrize("source", ["../a.mp4", "x/../../a.mp4", ".."])
def test_a_source_that_leaves_the_root_is_refused(write, source):
    path = write("clips.csv", "path,text", "fine.mp4,A", f"{source},B")
    with pytest.raises(ValueError, match=r"clips\.csv, line 3: the source .* leaves the folder"):
        read_clip_list(path)


def test_a_layout_that_builds_paths_builds_none_outside(write):
    path = write("clips.csv", "page_dir,videoid,name", "../..,1,A")
    with pytest.raises(ValueError, match=r"line 2: the source 'videos/\.\./\.\./1\.mp4' leaves"):
        read_clip_list(path)


def test_a_row_of_a_manifest_says_what_it_is(write):
    path = write("clips.jsonl", json.dumps({"source": "a.mp4", "captions": {"original": "A"}}))
    with pytest.raises(ValueError, match="line 1: a row of a manifest, which is no list: unknown captions"):
        read_clip_list(path)


def test_a_training_refuses_a_list_without_captions(write):
    with pytest.raises(ValueError, match="line 2: no caption: None is no text"):
        read_clip_list(write("clips.csv", "path,id,relpath", "a.mp4,0,a.mp4"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"source": "a.mp4"}', "no caption"),
        ('{"source": "a.mp4", "caption": " "}', "no caption"),
        ('{"caption": "A"}', "no source"),
        ('{"source": 7, "caption": "A"}', "no source: 7 is no text"),
        ('{"source": "a.mp4", "caption": "A", "start": 1}', "unknown start: use source, caption, start_s"),
        ('{"source": "a.mp4", "caption": "A"', "no JSON"),
        ('["a.mp4", "A"]', "is no object"),
        ("[" * 100_000, "recursion"),
        ('{"source": "a.mp4", "caption": "A", "start_s": NaN}', "start_s=nan is no time"),
        ('{"source": "a.mp4", "caption": "A", "start_s": -0.5}', "start_s=-0.5 is no time"),
        ('{"source": "a.mp4", "caption": "A", "end_s": Infinity}', "end_s=inf must be"),
        ('{"source": "a.mp4", "caption": "A", "start_s": 3, "end_s": 3}', "above start_s=3.0"),
        ('{"source": "a.mp4", "caption": "A", "end_s": true}', "end_s=True is no number"),
        ('{"source": "a.mp4", "caption": "A", "end_s": "soon"}', "end_s='soon' is no number"),
        ('{"source": "a.mp4", "caption": "A", "end_s": [2]}', "is no number of seconds"),
    ],
)
def test_a_bad_json_line_is_named_with_its_number(write, line, reason):
    path = write("clips.jsonl", '{"source": "a.mp4", "caption": "A"}', "", line)
    with pytest.raises(ValueError, match=rf"clips\.jsonl, line 3: .*{reason}"):
        read_clip_list(path)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["path,text", "a.mp4, "], "line 2: no caption"),
        (["path,text", "a.mp4,A", ",B"], "line 3: no source: path is empty"),
        (["page_dir,videoid,name", "d,,A"], "line 2: no source: videoid is empty"),
        (["path,text", "a.mp4,Rain, then sun"], "line 2: 3 cells under 2 columns: .* double quotes"),
        (["path,text", "a.mp4"], "line 2: 1 cells under 2 columns"),
        (["path,text", 'a.mp4,"never closed'], "line 2: unexpected end of data"),
        (["path,text,start_s", "a.mp4,A,-1"], "line 2: start_s=-1.0 is no time"),
    ],
)
def test_a_bad_csv_row_is_named_with_its_number(write, lines, reason):
    with pytest.raises(ValueError, match=rf"clips\.csv, {reason}"):
        read_clip_list(write("clips.csv", *lines))


@pytest.mark.parametrize("header", ["file,caption", "path,page_dir,videoid,name", "path,text,text"])
def test_columns_of_no_layout_are_answered_with_the_layouts(write, header):
    with pytest.raises(ValueError, match=r"path,text .*page_dir,videoid,name .*relpath,text .*JSON lines"):
        read_clip_list(write("clips.csv", header, "a,b,c"))


@pytest.mark.parametrize(("name", "lines"), [("a.jsonl", [""]), ("a.csv", []), ("a.csv", ["path,text"])])
def test_a_list_without_clips_is_refused(write, name, lines):
    with pytest.raises(ValueError, match="holds no clips"):
        read_clip_list(write(name, *lines))


def test_a_list_that_is_no_list_is_refused(tmp_path, write):
    path = write("clips.jsonl", '{"source": "a.mp4", "caption": "A"}')
    with pytest.raises(ValueError, match=r"absent\.csv: no such file"):
        read_clip_list(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match=r"unknown suffix '\.parquet': use \.jsonl or \.csv"):
        read_clip_list(tmp_path / "clips.parquet")
    with pytest.raises(ValueError, match="no such folder"):
        read_clip_list(path, root=tmp_path / "absent")
    path.write_bytes(b'{"source": "a.mp4", "caption": "caf\xe9"}\n')
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_clip_list(path)
