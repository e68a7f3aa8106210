import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from rufous.core.errors import ConfigError
from rufous.data.chain import Chain, ChainWork, Piece, Task, file_key, replay, stage_keys
from rufous.data.clip import Clip
from rufous.data.media import ClipMedia, MediaSettings
from rufous.data.stages.cut import Cut
from rufous.data.stages.probe import Probe
from rufous.data.stages.shots import Shots
from tests.data.drawings import camera_over, noise_picture, slow_then_fast, spoilt, write
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


def gone_on(chain: Chain, piece: Piece, known=None):
    key = file_key(piece.clip, chain.root)[0]
    task = Task(
        clip=piece.clip, file_key=key, known=known or {}, position=piece.position, unsure=piece.unsure
    )
    return ChainWork(chain)(task)


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


def test_a_cut_clip_goes_on_as_its_pieces(chain_of, write_clip, tmp_path):
    write_clip("a.mkv", num_frames=8, fps=8)
    log = tmp_path / "log"
    chain = chain_of(Probe(), Halves(), Brightness(log=str(log)))
    cut = carried_out(chain, "a.mkv")
    assert (cut.clips, notes(log)) == ((), [])
    assert [(each.clip.start_s, each.clip.end_s) for each in cut.pieces] == [(0.0, 0.5), (0.5, None)]
    assert len({each.clip.content_id for each in cut.pieces}) == 2
    names = ("num_frames", "duration_s", "file_num_frames", "file_duration_s")
    assert [[each.clip.info[name] for name in names] for each in cut.pieces] == [[4, 0.5, 8, 1.0]] * 2
    assert all(each.clip.media is None and each.position == 2 for each in cut.pieces)
    first, second = (gone_on(chain, each) for each in cut.pieces)
    difference = second.clips[0].scores["brightness"] - first.clips[0].scores["brightness"]
    assert difference == pytest.approx(3.0, abs=0.3)  # four frames later, and half of the picture half
    assert notes(log) == ["brightness a.mkv 0", "brightness a.mkv 0.5"]
    again = carried_out(chain, "a.mkv", json.loads(json.dumps(cut.fresh)))
    assert (again.pieces, again.fresh) == (cut.pieces, {})
    # a piece that is as it was is known, though it was cut by another setting
    others = chain_of(Probe(), Halves(log=str(tmp_path / "other")), Brightness(log=str(log)))
    other = gone_on(others, carried_out(others, "a.mkv").pieces[1], second.fresh)
    assert (other.clips, notes(log)) == (second.clips, [])


def test_a_cut_at_the_end_makes_rows(chain_of, write_clip):
    write_clip("a.mkv")
    result = carried_out(chain_of(Brightness(), Halves()), "a.mkv")
    assert (len(result.clips), result.pieces) == (2, ())


def test_pieces_know_what_may_pass(chain_of, write_clip):
    class OnTrouble(Contrast):
        after = ("trouble",)

        def process(self, clip):
            return [clip]

    write_clip("timeout.mkv")
    chain = chain_of(Trouble(), Halves(), OnTrouble(), Brightness())
    piece = carried_out(chain, "timeout.mkv").pieces[0]
    assert piece.unsure == {"trouble"}
    assert len(gone_on(chain, piece).fresh) == 1  # brightness alone


def test_a_clip_that_may_be_known_comes_back_with_its_content(chain_of, write_clip, tmp_path):
    write_clip("a.mkv")
    log = tmp_path / "log"
    chain = chain_of(Probe(), Brightness(log=str(log)))
    clip = Clip(source="a.mkv")
    task = Task(clip=clip, file_key="", known={}, may_be_moved=True)
    (piece,) = ChainWork(chain)(task).pieces
    assert (piece.position, bool(piece.clip.content_id), notes(log)) == (1, True, [])


def test_a_stage_whose_files_are_gone_is_carried_out_again(chain_of, write_clip, tmp_path):
    write_clip("a.mkv")
    chain = chain_of(Probe(), Cut(folder=str(tmp_path / "cut")))
    first = carried_out(chain, "a.mkv")
    clip = Clip(source="a.mkv")
    task = Task(clip=clip, file_key=file_key(clip, chain.root)[0], known=first.fresh)
    replayed = replay(task, chain)
    assert replayed is not None
    assert replayed.clips == first.clips
    shutil.rmtree(tmp_path / "cut")
    assert replay(task, chain) is None
    assert ChainWork(chain)(task).clips == first.clips
    assert (tmp_path / "cut" / str(first.clips[0].info["cut_file"])).is_file()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_is_no_fault_of_a_stage(chain_of, write_clip, stop):
    class Stopped(Brightness):
        def process(self, clip):
            raise stop

    write_clip("a.mkv")
    with pytest.raises(stop):
        carried_out(chain_of(Stopped()), "a.mkv")


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


def test_shots_of_a_film_of_varying_rate_have_their_own_frames_and_length(chain_of, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "videos"
    folder.mkdir()
    shots = [
        camera_over(rng, noise_picture(rng, 64, 96, roughness=0.8), count, 32, 48, speed=0.8)
        for count in (12, 120)
    ]
    slow_then_fast(folder / "a.mkv", np.concatenate(shots))
    pieces = carried_out(chain_of(Probe(), Shots()), "a.mkv").clips
    assert [clip.dropped for clip in pieces] == [None, None]
    assert [clip.info["num_frames"] for clip in pieces] == [12, 120]
    assert [clip.info["duration_s"] for clip in pieces] == pytest.approx([2.4, 2.0], abs=0.03)
    assert {clip.info["file_num_frames"] for clip in pieces} == {132}


def test_a_damaged_clip_is_dropped_by_the_first_stage_that_looks_at_it(chain_of, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "videos"
    folder.mkdir()
    frames = camera_over(rng, noise_picture(rng, 96, 128, roughness=0.8), 36, 48, 64, speed=0.8)
    spoilt(write(folder / "a.mkv", frames, codec="mpeg4", options={"g": "12"}), 18)
    (clip,) = carried_out(chain_of(Probe(), Brightness(), Contrast()), "spoilt_a.mkv").clips
    reason = "damaged: 6 of 36 frames were decoded with errors, the first at 0.75 s"
    assert clip.dropped == f"brightness: {reason}"
    assert clip.errors == {"brightness": reason}
