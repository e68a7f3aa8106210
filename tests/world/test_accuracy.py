import pytest
import torch

from rufous.world.accuracy import add_noise, judge_fresh_clips, main, through_h264
from rufous.world.dataset import WorldClips


def test_noise_has_the_amplitude_asked_for():
    gray = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    noisy = add_noise(gray, 0.05, seed=1)
    assert noisy.float().std().item() == pytest.approx(0.05 * 255, rel=0.05)
    assert torch.equal(noisy, add_noise(gray, 0.05, seed=1))


def test_h264_keeps_count_and_size_and_changes_little(tmp_path):
    pytest.importorskip("av")
    clip = WorldClips(seed=0)[0]
    coded = through_h264(clip.frames, clip.fps, tmp_path)
    assert coded.shape == clip.frames.shape
    assert (coded.float() - clip.frames.float()).abs().mean() < 6


def test_a_measurement_is_fast():
    clips = WorldClips(seed=2, level="full")
    _, seconds = judge_fresh_clips(clips, 4, lambda frames, _: frames)
    assert seconds < 0.3  # 0.05 s on a free core; a shared one and the checking of types take their part


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [(["--noise", "0.05"], ["shape", "motion", "all_right"]), (["--spoilt"], ["two colors", "frozen"])],
    ids=["fresh", "spoilt"],
)
def test_the_command_prints_a_table(monkeypatch, capsys, arguments, rows):
    monkeypatch.setattr("sys.argv", ["accuracy", "--clips", "1", "--frames", "9", *arguments])
    kinds = {"two colors": "color", "frozen": "motion"}  # two of the twelve, for speed
    monkeypatch.setattr("rufous.world.accuracy.SPOILT_ATTRIBUTE", kinds)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # it would hold for the tests after
    main()
    printed = capsys.readouterr().out
    assert all(row in printed for row in rows)
