from dataclasses import replace

import pytest

from rufous.core.errors import ConfigError
from rufous.data.curated_clips import CuratedClips, CuratedSampling
from rufous.data.executor import InlineExecutor
from rufous.data.manifest import read_manifest
from rufous.data.stages.registry import STAGES
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.recipes.world_curation_set import (
    DAMAGE,
    CurationSetConfig,
    caption_kinds,
    curated_rows,
    curation_figures,
    make_sets,
    plan_of,
)
from rufous.video.read import read_video
from rufous.world.captions import parse_caption
from rufous.world.damage import DAMAGES
from rufous.world.truth import truth_of
from tests.recipes.toy_stages import Edges, Rank, Unseen

CLIPS = WorldClipsConfig(num_clips=30, captions_per_clip=2, num_frames=8)
STEPS = ("edges", "rank", "edges_jump<=12", "rank>=0.2")
INLINE = InlineExecutor()


def rows_of(path):
    return list(read_manifest(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "edges", Edges)
        patch.setitem(STAGES, "rank", Rank)
        folder = tmp_path_factory.mktemp("set")
        config = CurationSetConfig(clips=CLIPS, steps=STEPS, num_workers=0)
        make_sets(config, folder)
        times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        make_sets(config, folder)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    return folder


def test_two_in_five_clips_are_damaged_and_only_wrong_captions_are_wrong(folder):
    raw = rows_of(folder / "raw.jsonl")
    kinds = [clip.tags[DAMAGE] for clip in raw]
    assert 6 <= sum(kind in DAMAGES for kind in kinds) <= 18
    for clip in raw:
        assert set(clip.captions) == {"original", "phrasing_2"} == set(caption_kinds(CLIPS))
        assert all(parse_caption(caption) is not None for caption in clip.captions.values())
        if clip.tags[DAMAGE] in ("none", "wrong_caption"):
            frames, _ = read_video(folder / clip.source)
            truths = [truth_of(frames, 8.0, caption) for caption in clip.captions.values()]
            is_true = all(truth.all_right for truth in truths)
            assert is_true == (clip.tags[DAMAGE] == "none"), clip.source


def test_stages_measure_and_rules_drop_and_the_oracle_drops_all_damage(folder):
    raw, curated, oracle = (rows_of(folder / f"{arm}.jsonl") for arm in ("raw", "curated", "oracle"))
    assert [clip.place for clip in raw] == [clip.place for clip in curated] == [clip.place for clip in oracle]
    assert all((clip.dropped is None) == (clip.tags[DAMAGE] == "none") for clip in oracle)
    assert all(set(clip.scores) == {"edges_steepest", "edges_jump", "rank"} for clip in curated)
    figures = curation_figures(curated)
    assert sum(row["clips"] for row in figures.values()) == 30
    assert figures["none"]["dropped"] < 0.2
    assert figures["flashing"]["dropped"] > 0.5
    sampling = CuratedSampling(captions=dict.fromkeys(caption_kinds(CLIPS), 1.0))
    assert len(CuratedClips(curated, folder, sampling)) < len(CuratedClips(raw, folder, sampling)) == 30


def test_no_stage_sees_the_damage(folder, tmp_path):
    raw = rows_of(folder / "raw.jsonl")[:3]
    (tmp_path / "000").symlink_to(folder / "000")
    found = curated_rows(raw, tmp_path, [Unseen()], INLINE)
    assert [clip.errors for clip in found] == [{}, {}, {}]
    assert [clip.tags for clip in found] == [clip.tags for clip in raw]


def test_the_usual_steps_find_each_damage(tmp_path):
    config = CurationSetConfig(clips=replace(CLIPS, num_clips=40, num_frames=16), num_workers=0)
    make_sets(config, tmp_path)
    figures = curation_figures(rows_of(tmp_path / "curated.jsonl"))
    assert figures["none"]["dropped"] < 0.2
    assert all(figures[kind]["dropped"] > 0.5 for kind in DAMAGES)


def test_bad_settings_are_refused():
    for call, message in [
        (lambda: CurationSetConfig(damaged_share=1.0), "damaged_share=1.0"),
        (lambda: plan_of(CurationSetConfig(steps=("rust",))), "rust cannot run here: .*no such stage"),
        (lambda: plan_of(CurationSetConfig(steps=("probe", "rust>=1"))), "no stage of this run gives rust"),
    ]:
        with pytest.raises((ValueError, ConfigError), match=message):
            call()
