from collections import Counter

import pytest

from rufous.core.errors import ConfigError
from rufous.data.clip import Clip
from rufous.data.filters import (
    Filter,
    TagFilter,
    apply_filter,
    check_known,
    dropped_by,
    filter_to_dict,
    parse_filter,
    value_of,
    weigh_filters,
)


def clips(*values: float, source: str = "{}.mp4") -> list[Clip]:
    return [Clip(source=source.format(i), scores={"flow": float(value)}) for i, value in enumerate(values)]


def stays(filter_, rows) -> list[bool]:
    return [clip.dropped is None for clip in apply_filter(filter_, rows)[0]]


def test_bounds_are_inclusive_and_the_reason_says_the_numbers():
    rows = clips(0.5, 1.0, 2.0, 2.5)
    found, limits = apply_filter(Filter(value="flow", min=1.0, max=2.0), rows)
    assert [clip.dropped for clip in found] == [
        "flow>=1 <=2: 0.5 is below 1",
        None,
        None,
        "flow>=1 <=2: 2.5 is above 2",
    ]
    assert limits == {"": (1.0, 2.0)}


def test_percentiles_are_taken_over_the_clips_that_come():
    rows = [*clips(*range(11)), Clip(source="gone.mp4", scores={"flow": 1e9}, dropped="probe: empty")]
    found, limits = apply_filter(Filter(value="flow", min_percentile=20.0, max_percentile=90.0), rows)
    assert limits == {"": (2.0, 9.0)}
    assert [clip.scores["flow"] for clip in found if clip.dropped is None] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert found[-1].dropped == "probe: empty"


@pytest.mark.parametrize(("per", "kept"), [("folder", 4), ("file", 8), ("all", 4)])
def test_percentiles_may_be_taken_by_folder_or_file(per, kept):
    rows = clips(0, 1, 2, 3, source="slow/x{}.mp4") + clips(10, 11, 12, 13, source="fast/y{}.mp4")
    found = apply_filter(Filter(value="flow", min_percentile=50.0, per=per), rows)[0]
    left = [clip.source[0] for clip in found if clip.dropped is None]
    assert len(left) == kept
    if per == "folder":
        assert left == ["s", "s", "f", "f"]


def test_a_filter_may_look_at_some_sources_only():
    rows = clips(0, 5, source="a/{}.mp4") + clips(0, 5, source="b/{}.mp4")
    assert stays(Filter(value="flow", min=1.0, sources="b/*"), rows) == [True, True, False, True]
    assert stays(TagFilter(value="camera", refused=("pan",), sources="b/*"), rows) == [True] * 4


def test_a_clip_that_was_not_measured_does_not_pass_unless_it_may():
    rows = [*clips(5), Clip(source="x.mp4")]
    assert apply_filter(Filter(value="flow", min=1.0), rows)[0][1].dropped == "flow>=1: flow was not measured"
    assert stays(Filter(value="flow", min=1.0, keeps_unmeasured=True), rows) == [True, True]
    assert stays(Filter(value="flow", min_percentile=10.0), [Clip(source="x.mp4")]) == [False]


def test_names_can_be_refused():
    tags = ("pan", "zoom", "", "roll+zoom", "zoom_in")
    rows = [Clip(source=f"{tag}.mp4", tags={"camera": tag} if tag else {}) for tag in tags]
    found = apply_filter(TagFilter(value="camera", refused=("zoom",)), rows)[0]
    told = "camera!=zoom: it is"
    assert [clip.dropped for clip in found] == [None, f"{told} zoom", None, f"{told} roll+zoom", None]


def test_filters_are_weighed_alone_and_in_order():
    rows = [
        Clip(source=f"{i}.mp4", scores={"flow": float(flow), "sharp": float(sharp)})
        for i, (flow, sharp) in enumerate([(0, 0), (0, 9), (9, 0), (9, 9), (9, 9)])
    ]
    rows.append(Clip(source="x.mp4", dropped="probe: empty"))
    filters = [Filter(value="flow", min=1.0), Filter(value="sharp", min=1.0)]
    filtered, used = rows, []
    for each in filters:
        filtered, limits = apply_filter(each, filtered)
        used.append((each, limits))
    for shown in (rows, filtered):  # in a dry run, and after a real one
        first, second = weigh_filters(used, shown)
        assert (first.num_alone, first.num_in_order, first.num_left) == (2, 2, 3)
        assert (second.num_alone, second.num_in_order, second.num_left) == (2, 1, 2)
    assert [dropped_by(clip) for clip in filtered] == ["flow>=1", "flow>=1", "sharp>=1", "", "", "probe"]


def test_what_an_earlier_filter_took_unmeasured_is_not_taken_alone():
    rows = clips(0, 0, 9, 9)
    rows[2:] = [clip.with_scores(sharp=5.0) for clip in rows[2:]]
    flow, sharp = Filter(value="flow", min=1.0), Filter(value="sharp", min=1.0)
    first, second = weigh_filters([(flow, {"": (1.0, None)}), (sharp, {"": (1.0, None)})], rows)
    assert (first.num_alone, second.num_alone, second.num_in_order, second.num_left) == (2, 0, 0, 2)
    (alone,) = weigh_filters([(sharp, {"": (1.0, None)})], rows)
    assert alone.num_alone == 2


def test_a_filter_of_what_no_clip_has_is_refused():
    rows = [Clip(source="a.mp4", errors={"flow": "too few frames"}), Clip(source="b.mp4").drop("x", "y")]
    told = r"flow>=1 would drop all 1 clips that come to it, for none has flow \(flow: too few frames\)"
    with pytest.raises(ConfigError, match=told):
        check_known(Filter(value="flow", min=1.0), rows)
    check_known(Filter(value="flow", min=1.0), [*rows, *clips(0)])
    check_known(Filter(value="flow", min=1.0), rows[1:])
    check_known(Filter(value="flow", min=1.0, keeps_unmeasured=True), rows)
    check_known(TagFilter(value="camera", refused=("pan",)), rows)


def test_values_are_scores_then_info_then_the_length():
    clip = Clip(
        source="a", start_s=1.0, info={"width": 320, "codec": "h264", "duration_s": 3.0}, scores={"x": 1.0}
    )
    assert [value_of(clip, name) for name in ("x", "width", "codec", "length_s", "y")] == [
        1,
        320,
        None,
        3,
        None,
    ]
    assert value_of(Clip(source="a", end_s=2.5), "length_s") == 2.5
    beyond = Clip(source="a", start_s=1.0, end_s=9.0, info={"duration_s": 3.0, "file_duration_s": 4.0})
    assert value_of(beyond, "length_s") == 3.0
    assert value_of(Clip(source="a"), "length_s") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("technical>=0.3", Filter(value="technical", min=0.3)),
        ("flow <= 1e2", Filter(value="flow", max=100.0)),
        ("flow>=-2", Filter(value="flow", min=-2.0)),
        ("technical>=10%", Filter(value="technical", min_percentile=10.0)),
        ("technical<=99.5%", Filter(value="technical", max_percentile=99.5)),
        ("camera_motion!=zoom_in,roll", TagFilter(value="camera_motion", refused=("zoom_in", "roll"))),
        ("technical>=10%/folder", Filter(value="technical", min_percentile=10.0, per="folder")),
        ("technical<=5%/file", Filter(value="technical", max_percentile=5.0, per="file")),
        ("flow>=2 @ films/*", Filter(value="flow", min=2.0, sources="films/*")),
        ("match>=20?", Filter(value="match", min=20.0, keeps_unmeasured=True)),
        (
            "match>=1%/folder?@a b/*",
            Filter(value="match", min_percentile=1.0, per="folder", keeps_unmeasured=True, sources="a b/*"),
        ),
        ("camera!=roll@films/*", TagFilter(value="camera", refused=("roll",), sources="films/*")),
        ("flow>=0.123456789", Filter(value="flow", min=0.123456789)),
    ],
)
def test_filters_come_from_texts_and_are_named_by_them(text, expected):
    assert parse_filter(text) == expected
    assert parse_filter(expected.name) == expected


def test_filters_that_differ_have_other_names_and_are_told_whole():
    changes = ({}, {"per": "folder"}, {"per": "file"}, {"sources": "a/*"}, {"keeps_unmeasured": True})
    filters = [Filter(value="flow", min_percentile=10.0, **each) for each in changes]
    assert len({each.name for each in filters}) == len(filters)
    assert filter_to_dict(filters[1])["name"] == "flow>=10%/folder"
    assert filter_to_dict(filters[3])["sources"] == "a/*"


def test_two_filters_of_one_value_are_not_confused():
    rows = clips(0, 1, 2, 3, source="a/{}.mp4") + clips(10, 11, 12, 13, source="b/{}.mp4")
    used = []
    for text in ("flow>=25%", "flow>=25%/folder"):
        rows, limits = apply_filter(parse_filter(text), rows)
        used.append((parse_filter(text), limits))
    assert Counter(map(dropped_by, rows)) == {"": 4, "flow>=25%": 2, "flow>=25%/folder": 2}
    assert [each.num_in_order for each in weigh_filters(used, rows)] == [2, 2]


@pytest.mark.parametrize(
    "text", ["flow", "flow>1", "flow=1", ">=1", "flow>=x", "flow>=1 <=2", "a!=", "a>=1@"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match="is no filter: write NAME>=NUMBER"):
        parse_filter(text)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "has no bound"),
        ({"min": 1.0, "min_percentile": 5.0}, "a value and a percentile"),
        ({"max_percentile": 100.0}, "between 0 and 100"),
        ({"min": 2.0, "max": 1.0}, "no clip would stay"),
        ({"min": 2.0, "per": "folder"}, "is for percentiles"),
        ({"min": 2.0, "sources": "a: b"}, "without a colon"),
    ],
)
def test_filters_that_contradict_themselves_are_refused(values, told):
    with pytest.raises(ConfigError, match=told):
        Filter(value="flow", **values)
    with pytest.raises(ConfigError, match="refuses nothing"):
        TagFilter(value="camera", refused=())
