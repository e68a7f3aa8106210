from dataclasses import replace

import numpy as np
import pytest
import torch

from rufous.core import devices
from rufous.core.config import to_json_dict
from rufous.evaluation import sets
from rufous.evaluation.dimensions import decoded_clip
from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.mmd import jedi
from rufous.evaluation.sets import SetSampling, chosen_clips, clip_indices, compare_sets, features_of
from rufous.video.read import read_frames, read_video
from tests.evaluation.clip_folders import Reader, brightness_features, write_clips

TWELVE = SetSampling(num_frames=12)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    return write_clips(root / "real", 6), write_clips(root / "made", 5, seed=1, brightness=40)


def test_a_report_says_what_moves_the_number(folders):
    reader = Reader()
    report = compare_sets(*folders, brightness_features(reader), sampling=TWELVE, batch_size=4)
    assert (report.num_real, report.num_generated, report.num_features) == (6, 5, 3)
    assert (report.ddof, report.resize, report.weights, report.status) == (1, "none", "none", "exact")
    assert report.figures["frechet_brightness"] == report.figures["frechet"]
    assert report.figures["frechet"] == pytest.approx(3 * 40**2, rel=0.05)
    assert report.figures["halves_of_real"] < 10
    assert "6 and 5 clips: published figures use 2048" in report.warnings[0]
    assert f"{report.figures['halves_of_real']:.4g} apart" in report.warnings[0]
    assert "6 and 5 clips: compare figures of equal numbers" in report.warnings[1]
    assert report.failed == ()
    assert reader.batches == [4, 2, 4, 1]
    assert to_json_dict(report)["real_sampling"]["num_frames"] == 12


def test_the_order_of_the_folders_does_not_matter(folders):
    network = brightness_features(Reader())
    there, back = (compare_sets(*each, network, sampling=TWELVE) for each in (folders, folders[::-1]))
    for name in ("frechet", "mmd_biased_x100", "mmd_unbiased_x100"):
        assert there.figures[name] == pytest.approx(back.figures[name], rel=1e-9)


def test_batches_and_ddof(folders):
    network = brightness_features(Reader(), figure="jedi", figure_name="jedi_brightness", ddof=0)
    one, all_at_once = (compare_sets(*folders, network, sampling=TWELVE, batch_size=n) for n in (1, 99))
    assert one.figures == pytest.approx(all_at_once.figures, rel=1e-6)
    assert one.figures["jedi_brightness"] == one.figures["mmd_biased_x100"]
    assert one.ddof == 0
    sides = [features_of(folder, network, TWELVE).features for folder in folders]
    assert one.figures["frechet"] == pytest.approx(frechet_distance(*sides, ddof=0))
    asked = compare_sets(*folders, network, sampling=TWELVE, ddof=1)
    assert asked.figures["frechet"] == pytest.approx(frechet_distance(*sides, ddof=1))


def test_the_floor_and_the_warning_are_those_of_the_figure(folders):
    network = brightness_features(Reader(), figure="jedi", figure_name="jedi_brightness")
    report = compare_sets(*folders, network, sampling=TWELVE)
    real = features_of(folders[0], network, TWELVE).features
    order = np.random.default_rng(0).permutation(6)
    assert report.figures["halves_of_real"] == jedi(real[order[:3]], real[order[3:]])
    assert report.warnings[0].startswith("6 and 5 clips: the biased MMD is the larger the fewer there are.")
    assert "Frechet" not in report.warnings[0]
    wide = replace(network, read=lambda clips: torch.randn(len(clips), 8))
    assert "too few" not in " ".join(compare_sets(*folders, wide, sampling=TWELVE).warnings)


def test_a_stopped_run_goes_on_and_reads_no_clip_twice(folders, tmp_path):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop_at_the_third(name):
        done.append(name)
        if len(done) == 3:
            raise Stopped

    done: list[str] = []
    first, again, later = Reader(), Reader(), Reader()
    with pytest.raises(Stopped):
        features_of(
            folders[0],
            brightness_features(first),
            TWELVE,
            batch_size=1,
            cache_dir=tmp_path,
            on_clip=stop_at_the_third,
        )
    resumed = features_of(folders[0], brightness_features(again), TWELVE, cache_dir=tmp_path)
    assert (first.num_read, again.num_read) == (3, 3)
    whole = features_of(folders[0], brightness_features(Reader()), TWELVE)
    assert torch.equal(resumed.features, whole.features)
    assert (
        resumed.files
        == whole.files
        == ("0.webp", "2.webp", "4.webp", "more/1.webp", "more/3.webp", "more/5.webp")
    )
    features_of(folders[0], brightness_features(later), replace(TWELVE, num_frames=9), cache_dir=tmp_path)
    assert later.num_read == 6  # other frames, other features


def test_clips_that_cannot_be_used_are_named_and_the_others_go_on(folders, tmp_path):
    write_clips(tmp_path, 3, seed=2)
    write_clips(tmp_path / "short", 1, seed=3, num_frames=4)
    (tmp_path / "damaged.mp4").write_bytes(b"no video at all")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.txt").write_text("no clip")
    report = compare_sets(folders[0], tmp_path, brightness_features(Reader()), sampling=TWELVE)
    assert report.num_generated == 3
    assert [clip.file for clip in report.failed] == ["damaged.mp4", "empty.mp4", "short/0.webp"]
    assert "need 12 frames; there are 4" in report.failed[2].reason
    assert report.warnings[-1] == "0 real and 3 generated clips are left out: see failed"


def test_a_feature_that_is_not_finite_is_refused_by_the_name_of_its_file(folders, tmp_path):
    def spoiling(clips):
        rows = Reader()(clips)
        rows[rows[:, 0] == bad[0]] = torch.nan
        return rows

    bad = features_of(folders[0], brightness_features(Reader()), TWELVE).features[3]
    network = brightness_features(Reader(), read=spoiling)
    report = compare_sets(*folders, network, sampling=TWELVE, cache_dir=tmp_path)
    assert [clip.file for clip in report.failed] == ["more/1.webp"]
    assert "NaN" in report.failed[0].reason
    assert report.num_real == 5
    again = compare_sets(*folders, network, sampling=TWELVE, cache_dir=tmp_path)
    assert again.failed == report.failed  # it was not kept
    nothing = brightness_features(Reader(), read=lambda clips: torch.full((len(clips), 3), torch.nan))
    with pytest.raises(
        ValueError, match=r"0 of 6 clips can be used, two are the least\. 0\.webp: a feature is NaN"
    ):
        compare_sets(*folders, nothing, sampling=TWELVE)


def test_a_clip_that_the_network_fails_on_costs_itself_alone(folders):
    def read(clips):
        if any(torch.equal(clip, bad) for clip in clips):
            raise RuntimeError("CUDA out of\nmemory")
        return Reader()(clips)

    whole = features_of(folders[0], brightness_features(Reader()), TWELVE)
    bad = read_video(folders[0] / "2.webp")[0]
    found = features_of(folders[0], brightness_features(Reader(), read=read), TWELVE)
    assert [(clip.file, clip.reason) for clip in found.failed] == [("2.webp", "CUDA out of memory")]
    assert torch.equal(found.features, whole.features[[0, 2, 3, 4, 5]])


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("not enough memory"), OverflowError("no")])
def test_a_clip_that_cannot_be_decoded_costs_itself_alone(folders, monkeypatch, error):
    def read(timeline, indices):
        if timeline.path.name == "1.webp":
            raise error
        return read_frames(timeline, indices)

    monkeypatch.setattr(sets, "read_frames", read)
    found = features_of(folders[0], brightness_features(Reader()), TWELVE)
    assert [(clip.file, clip.reason) for clip in found.failed] == [
        ("more/1.webp", str(error) or "MemoryError")
    ]


def test_clips_too_large_for_the_memory_are_named_before_they_are_decoded(folders, monkeypatch):
    monkeypatch.setattr(sets, "read_frames", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(decoded_clip, "MAX_BYTES", 12 * 3 * 16 * 16 - 1)
    with pytest.raises(ValueError, match=r"0\.webp: 12 frames of 16x16 take 9,216 bytes: cut it to at most"):
        features_of(folders[0], brightness_features(Reader()), TWELVE)
    monkeypatch.undo()
    monkeypatch.setattr(sets, "read_frames", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: 9 * 12 * 3 * 16 * 16 - 1)
    with pytest.raises(ValueError, match=r"12 frames of 0\.webp: needs 0\.0 GB"):
        features_of(folders[0], brightness_features(Reader()), TWELVE)


def test_large_clips_do_not_wait_for_a_whole_batch(folders, monkeypatch):
    reader = Reader()
    monkeypatch.setattr(sets, "MAX_WAITING_BYTES", 2 * 12 * 3 * 16 * 16)
    features_of(folders[0], brightness_features(reader), TWELVE)
    assert reader.batches == [2, 2, 2]


def test_too_few_clips_for_the_features_are_told_with_the_bias(folders):
    wide = brightness_features(Reader(), read=lambda clips: torch.randn(len(clips), 8))
    report = compare_sets(*folders, wide, sampling=TWELVE)
    assert (
        "6 and 5 clips are too few for 8 features: covariances need more than 8 clips" in report.warnings[0]
    )
    assert f"3 clips each, are {report.figures['halves_of_real']:.4g} apart" in report.warnings[0]


def test_clips_are_drawn_by_the_seed(folders):
    drawn = chosen_clips(folders[0], SetSampling(num_clips=3, seed=1))
    assert drawn == chosen_clips(folders[0], SetSampling(num_clips=3, seed=1))
    assert len({tuple(chosen_clips(folders[0], SetSampling(num_clips=3, seed=s))) for s in range(9)}) > 1
    assert set(drawn) < set(chosen_clips(folders[0], SetSampling()))


def test_frames_begin_at_the_first_or_where_seed_and_name_say():
    assert clip_indices("a.mp4", 30, SetSampling(num_frames=4, stride=3)) == [0, 3, 6, 9]
    random = SetSampling(num_frames=4, stride=3, start="random")
    starts = [clip_indices(f"{i}.mp4", 30, random)[0] for i in range(300)]
    assert starts == [clip_indices(f"{i}.mp4", 30, random)[0] for i in range(300)]
    assert set(starts) == set(range(21))
    assert clip_indices("a.mp4", 10, random) == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 2}, "num_frames=2 does not suit brightness: it reads 3 or more"),
        ({"num_clips": 7}, "num_clips=7 is more than the 6 clips"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folders, changes, message):
    with pytest.raises(ValueError, match=message):
        compare_sets(*folders, brightness_features(Reader()), sampling=replace(TWELVE, **changes))


def test_folders_without_clips_and_wrong_settings_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="holds no clips"):
        compare_sets(folders[0], tmp_path, brightness_features(Reader()), sampling=TWELVE)
    with pytest.raises(ValueError, match="is no folder"):
        compare_sets(tmp_path / "absent", folders[0], brightness_features(Reader()), sampling=TWELVE)
    with pytest.raises(ValueError, match="no features 'clip': use i3d, videomae, vjepa, world"):
        compare_sets(*folders, "clip")
    with pytest.raises(ValueError, match="num_clips=1"):
        SetSampling(num_clips=1)
