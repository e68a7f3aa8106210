import json
from dataclasses import replace

import pytest

from rufous.core.errors import ConfigError
from rufous.data.chain import Chain, ChainWork, Task, file_key, replay, stage_keys
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia, MediaSettings
from rufous.data.stages.probe import Probe
from tests.data.small_stages import AfterRank, Brightness, Contrast, Halves, Rank, Trouble, notes


@pytest.fixture
def chain_of(tmp_path):
    """A chain over the folder of the clips."""

    def make(*stages) -> Chain:
        keys = stage_keys(stages, MediaSettings())
        return Chain(
            root=tmp_path / "videos",
            stages=stages,
            keys=tuple(keys[stage.name] for stage in stages),
            reads_sets=(False,) * len(stages),
            media=MediaSettings(),
        )

    return make


def carried_out(chain: Chain, source: str, known=None, **values):
    clip = Clip(source=source, **values)
    return ChainWork(chain)(Task(clip=clip, file_key=file_key(clip, chain.root)[0], known=known or {}))


def test_stages_follow_each_other_on_one_decoded_clip(chain_of, write_clip, monkeypatch):
    write_clip("a.mkv")
    decoded, decode = [], ClipMedia._decode
    monkeypatch.setattr(ClipMedia, "_decode", lambda media: decoded.append(media) or decode(media))
    result = carried_out(chain_of(Probe(), Brightness(), Contrast()), "a.mkv")
    (clip,) = result.clips
    assert clip.media is None
    assert set(clip.scores) == {"brightness", "contrast"}
    assert result.content_id == clip.content_id != ""
    assert len(result.fresh) == 3
    assert len(decoded) == 1
    assert set(result.seconds) == {"probe", "brightness", "contrast"}


def test_what_is_known_is_not_done_again(chain_of, write_clip, tmp_path):
    write_clip("a.mkv")
    log = tmp_path / "log"
    chain = chain_of(Probe(), Brightness(log=str(log)), Contrast(log=str(log)))
    first = carried_out(chain, "a.mkv")
    assert len(notes(log)) == 2
    known = json.loads(json.dumps(first.fresh))
    again = carried_out(chain, "a.mkv", known)
    assert (again.clips, again.fresh, notes(log)) == (first.clips, {}, [])
    clip = Clip(source="a.mkv")
    replayed = replay(Task(clip=clip, file_key=file_key(clip, chain.root)[0], known=known), chain)
    assert replayed is not None
    assert replayed.clips == first.clips


def test_a_changed_setting_does_its_stage_again_and_what_is_after_it(chain_of, write_clip, tmp_path):
    write_clip("a.mkv")
    log = tmp_path / "log"

    def chain(gain: float) -> Chain:
        first = Brightness(gain=gain)
        return chain_of(Probe(), Trouble(log=str(log)), first, Contrast(log=str(log)))

    known = carried_out(chain(1.0), "a.mkv").fresh
    assert notes(log) == ["contrast a.mkv 0", "trouble a.mkv"]
    changed = carried_out(chain(2.0), "a.mkv", known)
    assert notes(log) == ["contrast a.mkv 0"]
    assert set(changed.seconds) == {"brightness", "contrast"}
    assert changed.clips[0].tags == {"trouble": "none"}


def test_another_clip_of_the_same_file_or_another_caption_is_another_clip(chain_of, write_clip):
    write_clip("a.mkv")
    chain = chain_of(Probe(), Brightness())
    known = carried_out(chain, "a.mkv").fresh
    assert len(carried_out(chain, "a.mkv", known, end_s=0.5).fresh) == 2
    assert len(carried_out(chain, "a.mkv", known, captions={"original": "A"}).fresh) == 2


def test_a_cut_clip_goes_on_as_its_parts(chain_of, write_clip, tmp_path):
    write_clip("a.mkv", num_frames=8, fps=8)
    log = tmp_path / "log"
    chain = chain_of(Probe(), Halves(), Brightness(log=str(log)))
    result = carried_out(chain, "a.mkv")
    assert [(clip.start_s, clip.end_s) for clip in result.clips] == [(0.0, 0.5), (0.5, None)]
    first, second = (clip.scores["brightness"] for clip in result.clips)
    assert second - first == pytest.approx(3.0, abs=0.3)  # four frames later, and half of the picture half
    assert len({clip.content_id for clip in result.clips}) == 2
    assert notes(log) == ["brightness a.mkv 0", "brightness a.mkv 0.5"]
    again = carried_out(chain, "a.mkv", json.loads(json.dumps(result.fresh)))
    assert (again.clips, notes(log)) == (result.clips, [])
    # a part that is as it was is known, though it was cut by another setting
    moved = carried_out(
        chain_of(Probe(), Halves(log=str(tmp_path / "other")), Brightness(log=str(log))),
        "a.mkv",
        result.fresh,
    )
    assert (moved.clips, notes(log)) == (result.clips, [])


def test_a_stage_that_cannot_is_told_and_the_others_go_on(chain_of, write_clip):
    write_clip("value.mkv")
    result = carried_out(chain_of(Trouble(), Brightness()), "value.mkv")
    (clip,) = result.clips
    assert clip.errors == {"trouble": "this clip is not liked"}
    assert clip.dropped is None
    assert "brightness" in clip.scores
    assert len(result.fresh) == 2


def test_what_may_pass_is_not_kept_and_nothing_after_it(chain_of, write_clip):
    class OnTrouble(Contrast):
        after = ("trouble",)

        def process(self, clip):
            return [clip.with_scores(on_trouble=float("trouble" in clip.tags))]

    write_clip("timeout.mkv")
    chain = chain_of(Trouble(), Brightness(), OnTrouble())
    result = carried_out(chain, "timeout.mkv")
    assert result.clips[0].errors == {"trouble": "the endpoint did not answer"}
    assert result.clips[0].scores["on_trouble"] == 0.0
    assert len(result.fresh) == 1  # brightness alone
    assert set(carried_out(chain, "timeout.mkv", result.fresh).seconds) == {"trouble", "contrast"}


@pytest.mark.parametrize(
    ("name", "told"),
    [("bug", "trouble: KeyError: 'a fault'"), ("nothing", "trouble: RuntimeError: a stage gives one clip")],
)
def test_a_fault_of_a_stage_costs_its_clip(chain_of, write_clip, name, told):
    write_clip(f"{name}.mkv")
    result = carried_out(chain_of(Trouble(), Brightness()), f"{name}.mkv")
    (clip,) = result.clips
    assert clip.dropped is not None
    assert clip.dropped.startswith(told)
    assert result.fresh == {}


def test_a_missing_package_ends_the_run(chain_of, write_clip):
    write_clip("package.mkv")
    assert "pip install" in (carried_out(chain_of(Trouble()), "package.mkv").fatal or "")


def test_files_that_cannot_be_read_are_dropped_by_whoever_finds_out(chain_of, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"no video")
    (clip,) = carried_out(chain_of(Brightness(), Contrast()), "a.mp4").clips
    assert clip.dropped is not None
    assert clip.dropped.startswith("brightness: damaged")
    assert set(clip.errors) == {"brightness"}
    (clip,) = carried_out(chain_of(Probe(), Brightness()), "b.mp4").clips
    assert clip.dropped == "probe: no such file"


def test_entries_that_a_stage_takes_away_stay_away(chain_of, write_clip):
    class Forgets(Contrast):
        name = "forgets"
        after = ()

        def process(self, clip):
            return [replace(clip, scores={"contrast": 1.0})]

    write_clip("a.mkv")
    chain = chain_of(Brightness(), Forgets())
    result = carried_out(chain, "a.mkv")
    assert result.clips[0].scores == {"contrast": 1.0}
    assert carried_out(chain, "a.mkv", json.loads(json.dumps(result.fresh))).clips == result.clips


def test_keys_know_what_a_stage_is_after():
    def keys(*stages):
        return stage_keys(stages, MediaSettings())

    before, after = keys(Brightness(), Contrast()), keys(Brightness(gain=2.0), Contrast())
    assert before["contrast"] != after["contrast"]
    assert keys(Contrast())["contrast"] not in (before["contrast"], after["contrast"])
    assert keys(Halves(), Brightness())["brightness"] == before["brightness"]
    other = stage_keys([Brightness()], MediaSettings(short_side=90))
    assert other["brightness"] != before["brightness"]


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ((Contrast(), Brightness()), "the stage contrast reads brightness: put brightness before it"),
        ((Brightness(), Brightness(gain=2.0)), "two stages are named brightness"),
        ((AfterRank(), Brightness(), Rank()), "after_rank reads rank"),
    ],
)
def test_an_order_that_cannot_be_is_refused(stages, told):
    with pytest.raises(ConfigError, match=told):
        stage_keys(stages, MediaSettings())
