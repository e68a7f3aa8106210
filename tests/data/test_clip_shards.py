"""Tar files of kept clips."""

import hashlib
import json
import tarfile

import pytest
import torch

from rufous.data.clip import Clip
from rufous.data.clip_shards import ClipShards, write_clip_shards
from rufous.data.executor import Failure, InlineExecutor
from rufous.video.read import read_video
from rufous.video.write import write_video

INLINE = InlineExecutor()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for i in range(3):
        frames = torch.full((16, 3, 32, 32), 60 * (i + 1), dtype=torch.uint8)
        frames[:, :, :8] = torch.arange(16, dtype=torch.uint8)[:, None, None, None] * 8
        write_video(root / f"{i}.mp4", frames, fps=8)
    return root


CLIPS = [
    Clip(source="0.mp4", captions={"original": "a grey field", "rewritten": "A field."}, content_id="a"),
    Clip(source="1.mp4", start_s=1.0, end_s=2.0, scores={"technical": 0.5}),
    Clip(source="2.mp4"),
]


def names_in(path):
    with tarfile.open(path) as tar:
        return [entry.name for entry in tar]


def content(path, name):
    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def test_each_clip_has_its_frames_its_caption_and_its_row(root, tmp_path):
    made = write_clip_shards(tmp_path, CLIPS, root=root, executor=INLINE, clips_a_shard=2)
    assert made == ClipShards(num_shards=2, num_clips=3, failed={})
    first, second = tmp_path / "00000.tar", tmp_path / "00001.tar"
    keys = [clip.key for clip in CLIPS]
    suffixes = [["mp4", "txt", "json"], ["mp4", "json"]]
    assert names_in(first) == [
        f"{key}.{each}" for key, own in zip(keys, suffixes, strict=False) for each in own
    ]
    assert names_in(second) == [f"{keys[2]}.mp4", f"{keys[2]}.json"]
    assert content(first, f"{keys[0]}.txt") == b"A field."
    assert json.loads(content(first, f"{keys[1]}.json"))["score_technical"] == 0.5
    (tmp_path / "cut.mp4").write_bytes(content(first, f"{keys[1]}.mp4"))
    frames, _ = read_video(tmp_path / "cut.mp4")
    assert len(frames) == 8
    whole, _ = read_video(root / "1.mp4")
    assert (frames.float() - whole[8:].float()).abs().mean() < 3.0
    told = json.loads((tmp_path / "00000.json").read_text())
    assert told["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.glob("0*")) == [
        "00000.json",
        "00000.tar",
        "00001.json",
        "00001.tar",
    ]


def test_only_shards_of_other_clips_are_written_again_and_old_ones_go(root, tmp_path):
    write_clip_shards(tmp_path, CLIPS, root=root, executor=INLINE, clips_a_shard=1)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / ".cut-left").mkdir()
    (tmp_path / "mine.tar").write_bytes(b"of somebody else")
    cut = []
    changed = [CLIPS[0], CLIPS[1].with_scores(technical=0.6)]
    made = write_clip_shards(
        tmp_path, changed, root=root, executor=INLINE, clips_a_shard=1, on_progress=cut.append
    )
    assert cut == [changed[1]]
    assert made == ClipShards(num_shards=2, num_clips=2, failed={})
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(after) == {"00000.tar", "00000.json", "00001.tar", "00001.json", "mine.tar"}
    assert after["00000.tar"] == before["00000.tar"]
    assert after["00001.tar"] != before["00001.tar"]
    (tmp_path / "00000.tar").write_bytes(b"cut off")
    write_clip_shards(tmp_path, changed, root=root, executor=INLINE, clips_a_shard=1)
    assert names_in(tmp_path / "00000.tar")[0] == f"{CLIPS[0].key}.mp4"


def test_a_clip_that_cannot_be_cut_out_is_told_and_costs_no_other(root, tmp_path):
    clips = [Clip(source="gone.mp4"), *CLIPS]
    made = write_clip_shards(tmp_path, clips, root=root, executor=INLINE)
    assert made.num_clips == 3
    assert "no such file" in made.failed["gone.mp4"]

    class Dies(InlineExecutor):
        def run(self, tasks, work, *, needs_gpu=False):
            return ((task, Failure(reason="it died")) for task in tasks)

    two_of_a_file = [clips[0], Clip(source="gone.mp4", start_s=1.5)]
    made = write_clip_shards(tmp_path / "dead", two_of_a_file, root=root, executor=Dies())
    failed = {"gone.mp4": "it died", "gone.mp4 from 1.5 s": "it died"}
    assert made == ClipShards(num_shards=1, num_clips=0, failed=failed)


def test_clips_that_begin_together_are_told_apart(root, tmp_path):
    clips = [
        Clip(source="0.mp4", end_s=1.0),
        Clip(source="0.mp4", end_s=2.0),
        Clip(source="gone.mp4", end_s=1.0),
    ]
    clips.append(Clip(source="gone.mp4", end_s=2.0))
    made = write_clip_shards(tmp_path, clips, root=root, executor=INLINE, clips_a_shard=3)
    assert (made.num_shards, made.num_clips) == (2, 2)
    assert set(made.failed) == {"gone.mp4 to 1 s", "gone.mp4 to 2 s"}


def test_a_full_disk_ends_the_run(root, tmp_path):
    class Full(InlineExecutor):
        def run(self, tasks, work, *, needs_gpu=False):
            return ((task, OSError(28, "No space left on device")) for task in tasks)

    with pytest.raises(OSError, match="No space"):
        write_clip_shards(tmp_path, CLIPS, root=root, executor=Full())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="clips_a_shard=0"):
        write_clip_shards(tmp_path, CLIPS, root=root, executor=INLINE, clips_a_shard=0)


def test_nothing_kept_is_no_shard(root, tmp_path):
    assert write_clip_shards(tmp_path, [], root=root, executor=INLINE).num_shards == 0


def test_whatever_failed_is_tried_again(root, tmp_path):
    clips, folder = [Clip(source="late.mp4")], tmp_path / "shards"
    assert write_clip_shards(folder, clips, root=tmp_path, executor=INLINE).num_clips == 0
    (tmp_path / "late.mp4").write_bytes((root / "0.mp4").read_bytes())
    made = write_clip_shards(folder, clips, root=tmp_path, executor=INLINE)
    assert made == ClipShards(num_shards=1, num_clips=1, failed={})
