from dataclasses import replace

import pytest

from rufous.data.curated_clips import CuratedClips, CuratedSampling, read_clips
from rufous.data.stages.registry import STAGES
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.recipes.world_curation_set import (
    DAMAGE,
    CurationSetConfig,
    KeepRule,
    caption_kinds,
    curate,
    curation_figures,
    make_sets,
    named_stages,
)
from rufous.video.read import read_video
from rufous.world.captions import parse_caption
from rufous.world.damage import DAMAGES
from rufous.world.truth import truth_of
from tests.recipes.toy_stages import Edges, Rank

CLIPS = WorldClipsConfig(num_clips=30, captions_per_clip=2, num_frames=8)
RULES = (KeepRule(value="edges_jump", at_most=12.0), KeepRule(value="rank", at_least=0.2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "edges", Edges)
        patch.setitem(STAGES, "rank", Rank)
        folder = tmp_path_factory.mktemp("set")
        config = CurationSetConfig(clips=CLIPS, stages=("edges", "rank"), rules=RULES)
        make_sets(config, folder)
        times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        make_sets(config, folder)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    return folder


def test_two_in_five_clips_are_damaged_and_only_wrong_captions_are_wrong(folder):
    raw = read_clips(folder / "raw.jsonl")
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
    raw, curated, oracle = (read_clips(folder / f"{arm}.jsonl") for arm in ("raw", "curated", "oracle"))
    assert [clip.place for clip in raw] == [clip.place for clip in curated] == [clip.place for clip in oracle]
    assert all((clip.dropped is None) == (clip.tags[DAMAGE] == "none") for clip in oracle)
    assert all(set(clip.scores) == {"edges_steepest", "edges_jump", "rank"} for clip in curated)
    figures = curation_figures(curated)
    assert sum(row["clips"] for row in figures.values()) == 30
    assert figures["none"]["dropped"] < 0.2
    assert figures["flashing"]["dropped"] > 0.5
    sampling = CuratedSampling(captions=dict.fromkeys(caption_kinds(CLIPS), 1.0))
    assert len(CuratedClips(curated, folder, sampling)) < len(CuratedClips(raw, folder, sampling)) == 30


def test_no_stage_sees_the_damage(folder):
    class Sees(Edges):
        def process(self, clip):
            assert clip.tags == {}
            return super().process(clip)

    raw = read_clips(folder / "raw.jsonl")[:3]
    found = curate(raw, folder, [Sees()], ())
    assert [clip.tags for clip in found] == [clip.tags for clip in raw]


def test_what_a_stage_cannot_do_is_an_error_of_that_clip(folder):
    raw = read_clips(folder / "raw.jsonl")[:2]
    gone = replace(raw[0], source="gone.mkv")
    found = curate([gone, raw[1]], folder, [Edges()], (KeepRule(value="edges_jump", at_most=300.0),))
    assert "no such file" in found[0].errors["edges"]
    assert found[0].dropped == "edges_jump: edges_jump was not measured"
    assert found[1].dropped is None


def test_rules_look_at_scores_or_tags(folder):
    clip = replace(
        read_clips(folder / "raw.jsonl")[0], tags={"camera_motion": "dolly_zoom"}, scores={"a": 0.0}
    )
    assert KeepRule(value="camera_motion", refused=("dolly_zoom",)).refusal(clip) == "it is dolly_zoom"
    assert KeepRule(value="camera_motion", refused=("roll",)).refusal(clip) is None
    assert KeepRule(value="a", at_least=0.0, at_most=0.0).refusal(clip) is None
    assert KeepRule(value="a", at_most=-1.0).refusal(clip) == "a is 0"


def test_bad_settings_are_refused():
    for call, message in [
        (lambda: KeepRule(value="a"), "give at_least or at_most"),
        (lambda: KeepRule(value="a", at_least=1.0, refused=("b",)), "give at_least or at_most"),
        (lambda: CurationSetConfig(damaged_share=1.0), "damaged_share=1.0"),
        (lambda: named_stages(["rust"]), "stage 'rust' is unknown"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
