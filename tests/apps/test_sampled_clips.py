import json
from pathlib import Path

import pytest

from rufous.apps.clips import Clip
from rufous.apps.prompt_files import PromptLine
from rufous.apps.sampled_clips import line_clips, manifests_folder, seed_of, still_to_make, suite_clips
from rufous.core.files import sha256_of, write_text
from rufous.evaluation.vbench.suite import SuiteEntry

HOW = {"manifest_id": "abc", "num_frames": 16}


def test_seeds_follow_from_prompt_number_and_base():
    seeds = {seed_of(prompt, i, base) for prompt in ("a", "b") for i in range(5) for base in (0, 1)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of("a", 0, 0) == seed_of("a", 0, 0) == 5050641589276093629


def test_a_suite_makes_the_files_that_vbench_expects():
    entries = [
        SuiteEntry(prompt="x"),
        SuiteEntry(prompt="still", dimensions=("temporal_flickering",)),
        SuiteEntry(prompt="x"),
    ]
    clips = suite_clips(entries, Path("out"), samples=2, seed=0)
    assert [clip.path.name for clip in clips] == [
        "x-0.mp4",
        "x-1.mp4",
        *(f"still-{i}.mp4" for i in range(10)),
    ]
    assert clips[1].manifest == Path("out.manifests/x-1.json")
    assert manifests_folder(Path("a/out")) == Path("a/out.manifests")


def test_a_list_works_the_same_with_seeds_of_its_own():
    lines = [PromptLine(prompt="x"), PromptLine(prompt="y", seed=7)]
    clips = line_clips(lines, Path("out"), samples=2, seed=1)
    assert [clip.seed for clip in clips] == [
        seed_of("x", 0, 1),
        seed_of("x", 1, 1),
        seed_of("y", 0, 7),
        seed_of("y", 1, 7),
    ]
    with pytest.raises(ValueError, match="'x' is given twice"):
        line_clips([PromptLine(prompt="x"), PromptLine(prompt="x", seed=2)], Path("out"), samples=1, seed=0)
    with pytest.raises(ValueError, match="name 'z'"):
        line_clips([PromptLine(prompt="x", name="z")], Path("out"), samples=1, seed=0)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Three clips, two of them made."""
    clips = line_clips([PromptLine(prompt="x")], tmp_path / "out", samples=3, seed=0)
    for clip in clips[:2]:
        write_text(clip.path, "pixels")
        told = {"prompt": clip.prompt, "seed": clip.seed, "file": clip.path.name, **HOW}
        write_text(clip.manifest, json.dumps({**told, "sha256": sha256_of(clip.path)}))
    return clips


def test_clips_that_are_there_stay_if_they_were_made_so(clips):
    assert still_to_make(clips, HOW, overwrite=False) == clips[2:]
    assert still_to_make(clips, HOW, overwrite=True) == clips
    with pytest.raises(ValueError, match="was made with num_frames=16, now it is 26: add --overwrite"):
        still_to_make(clips, {**HOW, "num_frames": 26}, overwrite=False)
    clips[0].manifest.unlink()
    with pytest.raises(ValueError, match="there without its manifest"):
        still_to_make(clips, HOW, overwrite=False)


def test_a_run_that_was_killed_before_a_clip_was_in_place_goes_on(clips):
    clips[1].path.unlink()
    assert still_to_make(clips, HOW, overwrite=False) == clips[1:]


def test_files_of_others_are_kept(clips):
    write_text(clips[2].manifest, '{"notes": "mine"}')
    with pytest.raises(ValueError, match=r"x-2\.json exists and is no manifest of x-2\.mp4: add --overwrite"):
        still_to_make(clips, HOW, overwrite=False)
    clips[0].path.write_text("mine")
    with pytest.raises(ValueError, match=r"x-0\.mp4 is not the clip that its manifest describes"):
        still_to_make(clips, HOW, overwrite=False)
