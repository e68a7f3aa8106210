import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

from rufous.core.config import from_json_dict, to_json_dict
from rufous.data import ClipRecord, ClipSampling, VideoClips
from rufous.data.video_clips import draw_frames
from rufous.training.batches import ShuffledBatches
from rufous.video import seek, write_video
from rufous.video.read import Timeline

SMALL = ClipSampling(num_frames=4, height=16, width=64, strides=(1, 3), skip_s=0.0)


def numbered(num_frames: int, height: int = 16, width: int = 64) -> Tensor:
    """Frames that spell their number in eight black and white bars, which survive codecs and scaling."""
    bits = (torch.arange(num_frames)[:, None] >> torch.arange(8)) & 1
    bars = (bits * 255).to(torch.uint8).repeat_interleave(width // 8, dim=1)
    return bars[:, None, None, :].expand(-1, 3, height, -1).contiguous()


def numbers_of(frames: Tensor) -> list[int]:
    bars = frames.float().mean(dim=(1, 2)).unflatten(1, (8, -1))
    middles = bars[:, :, bars.shape[-1] // 2]
    assert bool(((middles < 60) | (middles > 195)).all()), "a bar is neither black nor white"
    return ((middles > 128).long() << torch.arange(8)).sum(dim=1).tolist()


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., ClipRecord]:
    """A record of a new file of numbered frames."""

    def write(name: str = "a.mp4", num_frames: int = 40, *, fps: float = 10, **times: float) -> ClipRecord:
        path = write_video(tmp_path / name, numbered(num_frames), fps=fps)
        return ClipRecord(source=path, caption=f"A clip of {name}", **times)

    return write


def clips_of(records: Sequence[ClipRecord], seed: int = 0, **changes: object) -> VideoClips:
    settings = {**to_json_dict(SMALL), **changes}
    return VideoClips(records, from_json_dict(ClipSampling, settings), seed=seed)


def all_numbers(clips: VideoClips) -> list[list[int]]:
    return [numbers_of(clips[i].frames) for i in range(len(clips))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp", "frames"])
def test_frames_come_at_one_stride_and_the_rate_is_theirs(name, record):
    clips = clips_of([record(name, 24, fps=12.5)], views=6)
    assert len(clips) == 6
    strides = set()
    for i in range(6):
        clip = clips[i]
        first, second, *rest = numbers_of(clip.frames)
        stride = second - first
        assert rest == [first + 2 * stride, first + 3 * stride]
        assert clip.fps == 12.5 / stride
        assert clip.caption == f"A clip of {name}"
        strides.add(stride)
    assert len(strides) > 1


def draws(num_frames: int, sampling: ClipSampling, *, num_draws: int = 300, **times: float) -> list[range]:
    """Frame numbers drawn from a file of 10 frames a second, which is not there."""
    path = Path("a.mp4")
    index = seek.FrameIndex(pts=list(range(num_frames)), end=num_frames, time_base=Fraction(1, 10))
    timeline, record = Timeline(path=path, index=index), ClipRecord(source=path, caption="A", **times)
    generator = torch.Generator().manual_seed(0)
    return [draw_frames(timeline, record, sampling, generator) for _ in range(num_draws)]


def test_the_stride_is_drawn_evenly_from_those_that_fit():
    drawn = [frames.step for frames in draws(20, replace(SMALL, num_frames=5, strides=(2, 6)))]
    counts = {stride: drawn.count(stride) for stride in sorted(set(drawn))}
    assert set(counts) == {2, 3, 4}  # stride 5 would need 21 frames
    assert all(75 <= count <= 125 for count in counts.values()), counts


def test_the_start_is_drawn_evenly_up_to_the_last_that_fits():
    starts = [frames[0] for frames in draws(12, replace(SMALL, strides=(3, 3)))]
    counts = {start: starts.count(start) for start in sorted(set(starts))}
    assert set(counts) == {0, 1, 2}
    assert all(75 <= count <= 125 for count in counts.values()), counts


def test_the_first_seconds_are_skipped_where_there_is_room():
    fits, too_long = (replace(SMALL, strides=(each, each), skip_s=1.0) for each in (8, 12))
    assert {frames[0] for frames in draws(40, fits)} == set(range(10, 16))  # 25 of 30 frames
    assert {frames[0] for frames in draws(40, too_long)} == {0, 1, 2, 3}  # 37 do not fit behind the second
    assert {frames[0] for frames in draws(40, fits, start_s=0.5)} == {15}


def test_frames_between_the_times_alone_are_drawn():
    drawn = draws(60, SMALL, start_s=1.0, end_s=2.0)
    assert {number for frames in drawn for number in frames} == set(range(10, 20))
    assert {number for frames in draws(6, replace(SMALL, num_frames=1)) for number in frames} == set(range(6))


def test_a_record_ends_where_it_says(record):
    scene = record(num_frames=60, start_s=1.0, end_s=2.0)
    assert all_numbers(clips_of([scene], num_frames=10)) == [list(range(10, 20))]
    with pytest.raises(ValueError, match="too short: 10 frames, and 11 at stride 1 need 11"):
        clips_of([scene], num_frames=11)[0]


def test_times_that_were_rounded_take_no_frame_of_the_next_scene(record):
    scene = record(num_frames=30, fps=24, start_s=0.42, end_s=0.84)  # of 10 / 24 and 20 / 24
    assert all_numbers(clips_of([scene], num_frames=10)) == [list(range(10, 20))]


@pytest.mark.parametrize("times", [{"start_s": 9.0}, {"start_s": 3.8, "end_s": 99.0}])
def test_times_beyond_the_file_leave_what_is_there(times, record):
    with pytest.raises(ValueError, match=r"too short: [02] frames"):
        clips_of([record(num_frames=40, **times)])[0]


def test_a_clip_depends_on_its_seed_and_index_alone(record):
    records = [record(f"{i}.mp4", 40) for i in range(3)]
    clips = clips_of(records, views=2)
    forward = [clips[i] for i in range(6)]
    numbers = [numbers_of(clip.frames) for clip in forward]
    assert [clip.caption for clip in forward] == [f"A clip of {i}.mp4" for i in (0, 1, 2, 0, 1, 2)]
    assert len({tuple(each) for each in numbers}) >= 5
    again = clips_of(records, views=2)
    assert all(torch.equal(again[i].frames, forward[i].frames) for i in reversed(range(6)))
    assert all_numbers(clips_of(records)) == numbers[:3]
    assert all_numbers(clips_of(records, seed=1)) != numbers[:3]


def test_training_goes_on_with_the_same_clips(record):
    records = [record(f"{i}.mp4") for i in range(4)]

    def batches() -> ShuffledBatches:
        return ShuffledBatches(clips_of(records, views=2), lambda clips: clips, batch_size=3, prefetch=2)

    first = batches()
    first.take(3)
    position = first.state_dict()
    expected = [numbers_of(clip.frames) for (batch,) in (first.take(1), first.take(1)) for clip in batch]
    first.close()
    resumed = batches()
    resumed.load_state_dict(position)
    assert [numbers_of(clip.frames) for batch in resumed.take(2) for clip in batch] == expected
    resumed.close()


def test_the_next_record_stands_in_for_one_that_cannot_be_read(record, tmp_path, caplog):
    good = [record("0.mp4"), record("5.mkv")]
    broken = record("1.mp4")
    broken.source.write_bytes(broken.source.read_bytes()[:600])
    (tmp_path / "2.mp4").write_text("no video")
    lost = [ClipRecord(source=tmp_path / name, caption="Lost") for name in ("2.mp4", "3.mp4")]
    records = [good[0], broken, *lost, record("4.mp4", 3), good[1]]

    with caplog.at_level(logging.WARNING, logger="rufous"):
        clips = clips_of(records, views=2)
        captions = [clips[i].caption for i in range(12)]
    assert captions == [good[0].caption, *[good[1].caption] * 5] * 2
    warned = [each.getMessage() for each in caplog.records]
    assert len(warned) == 4, "one warning for each file, not for each time that it is met"
    reasons = ("damaged, truncated", "damaged, truncated", "no such file", "too short: 3 frames")
    for message, bad, reason in zip(warned, records[1:5], reasons, strict=True):
        assert message.startswith(f"{bad.source}: {reason}")

    other = clips_of(records, views=2)
    order = [7, 1, 10, 3, 0]
    assert all(torch.equal(other[i].frames, clips[i].frames) for i in order)
    assert numbers_of(clips[2].frames) != numbers_of(clips[5].frames), "a stand-in is drawn anew"


def test_the_first_record_stands_in_for_the_last(record, tmp_path):
    clips = clips_of([record(), ClipRecord(source=tmp_path / "lost.mp4", caption="Lost")])
    assert clips[1].caption == "A clip of a.mp4"


def test_a_hundred_losses_in_a_row_end_the_run(record, tmp_path, caplog):
    lost = [ClipRecord(source=tmp_path / f"{i}.mp4", caption="Lost") for i in range(100)]
    with pytest.raises(ValueError, match=r"100 records in a row .* number 0 on.*99\.mp4: no such file"):
        clips_of([*lost, record()])[0]
    assert len(caplog.records) == 100
    assert clips_of([*lost, record()])[1].caption == "A clip of a.mp4"
    with pytest.raises(ValueError, match="5 records in a row"):
        clips_of(lost[:5])[3]


def test_a_variable_rate_is_that_of_the_chosen_frames(tmp_path):
    times_ms = [*range(0, 400, 40), *range(400, 1400, 100)]
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 16, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_ms, picture in zip(times_ms, numbered(20), strict=True):
            frame = av.VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    clips = clips_of([ClipRecord(source=path, caption="A pause")], views=8)
    for clip in (clips[i] for i in range(8)):
        first, *_, last = numbers_of(clip.frames)
        assert clip.fps == pytest.approx(3000 / (times_ms[last] - times_ms[first]))
    slow = ClipRecord(source=path, caption="Slow", start_s=0.4)
    assert clips_of([slow], strides=[2, 2])[0].fps == pytest.approx(5.0)


def test_frames_cover_the_crop_without_black(tmp_path):
    for name, height, width in (("tall.mp4", 64, 36), ("wide.mp4", 36, 128), ("same.mp4", 32, 64)):
        frames = torch.full((6, 3, height, width), 255, dtype=torch.uint8)
        path = write_video(tmp_path / name, frames, fps=8)
        clip = clips_of([ClipRecord(source=path, caption="White")], height=32, width=64)[0]
        assert clip.frames.shape == (4, 3, 32, 64)
        assert int(clip.frames.min()) > 245


def test_frames_are_scaled_before_they_are_cropped(tmp_path):
    path = write_video(tmp_path / "large.mp4", numbered(8, 32, 128), fps=8)
    numbers = all_numbers(clips_of([ClipRecord(source=path, caption="Large")], strides=[1, 1]))
    assert numbers[0] == list(range(numbers[0][0], numbers[0][0] + 4))


def test_one_clip_takes_one_index_of_its_file(record, monkeypatch):
    calls: list[Path] = []

    def counted(path, container, stream):
        calls.append(path)
        return seek.index_by_packets(path, container, stream)

    clips = clips_of([record()])
    monkeypatch.setattr("rufous.video.read.index_by_packets", counted)
    clips[0]
    assert len(calls) == 1


@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_that_is_none_is_refused(index, tmp_path):
    clips = clips_of([ClipRecord(source=tmp_path / "a.mp4", caption="A")] * 3, views=2)
    with pytest.raises(IndexError, match=rf"no example {index}: there are 6"):
        clips[index]


def test_a_set_without_records_or_with_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no records"):
        VideoClips([])
    with pytest.raises(ValueError, match="seed=-1 is negative"):
        VideoClips([ClipRecord(source=tmp_path / "a.mp4", caption="A")], seed=-1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_frames": 0}, "num_frames=0"),
        ({"height": 0}, "height=0"),
        ({"views": 0}, "views=0"),
        ({"strides": (0, 6)}, r"strides=\(0, 6\)"),
        ({"strides": (3, 2)}, r"strides=\(3, 2\)"),
        ({"skip_s": -1.0}, r"skip_s=-1\.0"),
        ({"skip_s": float("nan")}, "skip_s=nan"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        ClipSampling(**changes)
