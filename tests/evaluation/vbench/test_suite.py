import json
from pathlib import Path

import pytest

from rufous.evaluation.vbench.suite import (
    SuiteEntry,
    asks_for,
    clip_name,
    match_folder,
    merged,
    parse_clip_name,
    read_suite,
    samples_of,
    write_suite,
)

SUITE = [
    {"prompt_en": "a bird and a cat", "dimension": ["multiple_objects"],
     "auxiliary_info": {"multiple_objects": {"object": "bird and cat"}}},
    {"prompt_en": "alley", "dimension": ["scene", "background_consistency"],
     "auxiliary_info": {"scene": {"scene": {"scene": "alley"}}}},
    {"prompt_en": "In a still frame, a stop sign", "dimension": ["temporal_flickering"]},
]  # fmt: skip
STRANGE_PROMPTS = [
    "a panda, drinking (hot) coffee. 4-wheel drive - 3",
    "it's a dog's life-12",
    "The rice Shanghai, oil painting",
    "a cafe.mp4",
]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(SUITE))
    return path


def folder_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_a_suite_is_read_and_written_as_published(suite, tmp_path):
    entries = read_suite(suite)
    assert entries[1].dimensions == ("scene", "background_consistency")
    assert entries[1].auxiliary == {"scene": {"scene": {"scene": "alley"}}}
    again = tmp_path / "again.json"
    write_suite(again, entries)
    assert json.loads(again.read_text()) == SUITE
    write_suite(again, entries, videos={"alley": [Path("alley-0.mp4")]})
    assert json.loads(again.read_text())[1]["video_list"] == ["alley-0.mp4"]
    assert read_suite(again) == entries


def test_what_else_an_entry_says_is_carried(tmp_path):
    row = {
        "prompt_en": "a boat",
        "dimension": ["i2v_subject"],
        "image_type": "indoor",
        "image_name": "a boat.jpg",
    }
    (tmp_path / "i2v.json").write_text(json.dumps([row]))
    entries = read_suite(tmp_path / "i2v.json")
    assert entries[0].others == {"image_type": "indoor", "image_name": "a boat.jpg"}
    write_suite(tmp_path / "again.json", merged(entries).values())
    assert json.loads((tmp_path / "again.json").read_text()) == [row]


@pytest.mark.parametrize("prompt", [*(row["prompt_en"] for row in SUITE), *STRANGE_PROMPTS])
@pytest.mark.parametrize("index", [0, 4, 24])
def test_names_of_clips_go_there_and_back(prompt, index):
    assert parse_clip_name(clip_name(prompt, index)) == (prompt, index)


def test_a_name_without_a_number_is_a_prompt():
    assert parse_clip_name("a red circle.mp4") == ("a red circle", None)


@pytest.mark.parametrize("prompt", ["a/b", "", "  ", ".hidden", "x" * 250])
def test_a_prompt_that_cannot_be_a_file_name_is_refused(prompt):
    with pytest.raises(ValueError, match="file name"):
        clip_name(prompt, 0)


def test_the_longest_name_that_fits_is_kept():
    assert len(clip_name("x" * 249, 0)) == 255


def test_entries_of_one_prompt_share_their_clips():
    first = SuiteEntry(
        prompt="x", dimensions=("appearance_style",), auxiliary={"appearance_style": {"a": "b"}}
    )
    second = SuiteEntry(prompt="x", dimensions=("overall_consistency", "appearance_style"))
    both = merged([first, second])["x"]
    assert both.dimensions == ("appearance_style", "overall_consistency")
    assert both.auxiliary == first.auxiliary


def test_flickering_takes_five_times_as_many(suite):
    assert [samples_of(entry) for entry in read_suite(suite)] == [5, 5, 25]
    assert [samples_of(entry, 1) for entry in read_suite(suite)] == [1, 1, 5]


def test_what_is_wrong_with_a_folder_is_told_by_file(suite, tmp_path):
    folder = folder_of(
        tmp_path, "alley-0.mp4", "alley-1.mp4", "alley-01.mp4", "a dog-0.mp4", "alley.mp4", "notes.txt",
        ".x.mp4"
    )  # fmt: skip
    matched = match_folder(folder, read_suite(suite), samples=2)
    assert [(clip.path.name, clip.index) for clip in matched.clips] == [("alley-0.mp4", 0)]
    assert matched.clips[0].dimensions == ("scene", "background_consistency")
    told = {}
    for problem in matched.problems:
        told.setdefault(problem.reason.split(",")[0], set()).add(problem.file)
    assert told == {
        "its prompt is not in the suite": {"a dog-0.mp4"},
        "its name does not end in -NUMBER": {"alley.mp4"},
        "two clips for one slot": {"alley-1.mp4", "alley-01.mp4"},
        "missing": {
            *(f"a bird and a cat-{i}.mp4" for i in range(2)),
            *(f"In a still frame, a stop sign-{i}.mp4" for i in range(10)),
        },
    }


def test_numbers_that_the_suite_does_not_count_are_passed_over(suite, tmp_path):
    names = [f"alley-{i}.mp4" for i in (0, 1, 2, 7)] + ["In a still frame, a stop sign-9.avi"]
    matched = match_folder(folder_of(tmp_path, *names), read_suite(suite), samples=2)
    assert [clip.path.name for clip in matched.clips] == [
        "In a still frame, a stop sign-9.avi",
        "alley-0.mp4",
        "alley-1.mp4",
    ]
    assert matched.passed_over == ("alley-2.mp4", "alley-7.mp4")


def test_only_prompts_of_the_rows_asked_for_have_to_be_there(suite, tmp_path):
    folder = folder_of(tmp_path, "alley-0.mp4", "a bird and a cat-0.mp4", "a dog-0.mp4")
    matched = match_folder(folder, read_suite(suite), samples=2, rows=["proxy_scene"])
    assert [clip.path.name for clip in matched.clips] == ["alley-0.mp4"]
    assert [(p.file, p.reason) for p in matched.problems] == [
        ("a dog-0.mp4", "its prompt is not in the suite"),
        ("alley-1.mp4", "missing"),
    ]


@pytest.mark.parametrize(
    ("dimensions", "row", "asks"),
    [
        (("color",), "proxy_color", True),
        (("color",), "scene", False),
        (("color",), "world_truth", True),
        (("color",), "static_filter", False),
        (("temporal_flickering",), "static_filter", True),
        (("temporal_flickering",), "unfiltered_temporal_flickering", True),
        (("unfiltered_temporal_flickering",), "temporal_flickering", False),
        ((), "color", True),
    ],
)
def test_a_prompt_asks_for_rows(dimensions, row, asks):
    assert asks_for(dimensions, row) == asks


def test_without_a_suite_every_clip_counts_under_its_name_or_what_was_told(tmp_path):
    folder = folder_of(tmp_path, "a red circle-3.mp4", "b.gif")
    matched = match_folder(folder, told_prompts={"b.gif": "a blue star"})
    assert [(clip.prompt, clip.index) for clip in matched.clips] == [
        ("a red circle", 3),
        ("a blue star", None),
    ]
    assert matched.problems == ()


def test_without_a_suite_two_clips_for_one_slot_are_told_too(tmp_path):
    folder = folder_of(tmp_path, "a blue star-1.mp4", "a blue star-01.mp4", "a blue star-2.mp4", "take-1.mp4")
    matched = match_folder(folder, told_prompts={"take-1.mp4": "a blue star"})
    assert [(clip.path.name, clip.index) for clip in matched.clips] == [
        ("a blue star-2.mp4", 2),
        ("take-1.mp4", None),  # a number of another name
    ]
    told = "two clips for one slot, keep one of: a blue star-01.mp4, a blue star-1.mp4"
    assert {(p.file, p.reason) for p in matched.problems} == {
        ("a blue star-1.mp4", told),
        ("a blue star-01.mp4", told),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "no list of prompts"),
        ('{"prompt_en": "x"}', "no list of prompts"),
        ('[{"prompt": "x"}]', 'entry 1 has no text "prompt_en"'),
        ('[{"prompt_en": "x", "dimension": "color"}]', "no list of names"),
        ('[{"prompt_en": "x", "auxiliary_info": []}]', "no object"),
    ],
)
def test_a_suite_that_is_none_says_where(text, message, tmp_path):
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_suite(path)


def test_a_folder_without_clips_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no clip"):
        match_folder(folder_of(tmp_path, "notes.txt"))
    with pytest.raises(ValueError, match="is no folder"):
        match_folder(tmp_path / "nowhere")
