"""``rufous fvd``: figures and JSON by the embedded model, and what is refused."""

import json

import pytest

from rufous.apps import cli
from rufous.evaluation import ucf101
from rufous.video.write import write_video
from rufous.world import WorldClips

WORLD = WorldClips(seed=5)
PRESET = ("--preset", "animatelcm-ucf101")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("fvd")
    for index in range(4):
        frames = WORLD[index].frames
        write_video(root / "real" / f"{index}.webp", frames, fps=8)
        write_video(root / "made" / f"{index}.webp", frames.flip(0) if index else 255 - frames, fps=8)
    return root / "real", root / "made"


def call(folders, *more):
    return cli.run(["fvd", *map(str, folders), "--device", "cpu", *more])


def test_the_report_and_its_second_run_from_the_cache(folders, tmp_path, capsys, monkeypatch):
    arguments = ("--features", "world", "--cache", str(tmp_path))
    assert call(folders, *arguments, "--json") == cli.DONE
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert report["figures"]["frechet_world"] > 0
    assert (report["num_real"], report["num_generated"], report["num_features"]) == (4, 4, 128)
    assert "too few for 128 features" in shown.err
    assert len(list(tmp_path.glob("world-*.safetensors"))) == 1
    monkeypatch.setattr("rufous.evaluation.sets.read_frames", lambda *_: 1 / 0)
    assert call(folders, *arguments) == cli.DONE
    shown = capsys.readouterr()
    assert f"frechet_world        {report['figures']['frechet_world']:.6g}" in shown.out
    assert "4 real and 4 generated clips, 16 frames at stride 1; 128 features of world" in shown.out


def test_equal_folders_are_at_no_distance(folders, tmp_path, capsys):
    same = (folders[0], folders[0])
    assert call(same, "--features", "world", "--cache", str(tmp_path), "--json") == cli.DONE
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["frechet_world"] == pytest.approx(0.0, abs=1e-6)


def test_a_clip_that_is_left_out_is_named_and_shows_in_the_exit_code(folders, tmp_path, capsys):
    for index in (1, 2):
        write_video(tmp_path / f"{index}.webp", WORLD[index].frames, fps=8)
    (tmp_path / "bad.mp4").write_bytes(b"none")
    code = call((folders[0], tmp_path), "--features", "world", "--cache", str(tmp_path / "cache"))
    assert code == cli.FAILURE
    assert "left out: bad.mp4: " in capsys.readouterr().err


def test_the_preset_fixes_its_settings(folders, tmp_path, capsys, monkeypatch):
    seen = {}

    def compare_sets(real, generated, features, **settings):
        seen.update(settings, features=features)
        raise ValueError("stop here")

    monkeypatch.setattr("rufous.evaluation.sets.compare_sets", compare_sets)
    monkeypatch.setattr("rufous.evaluation.sets.chosen_clips", lambda *_: [])
    monkeypatch.setattr(
        "rufous.evaluation.set_features.i3d_features",
        lambda weights, **settings: (settings["resize_mode"], settings["published"].file),
    )
    assert call(folders, *PRESET, "--cache", str(tmp_path)) == cli.USAGE
    assert "stop here" in capsys.readouterr().err
    assert (seen["sampling"], seen["real_sampling"]) == (ucf101.GENERATED, ucf101.REAL)
    assert (seen["features"], seen["ddof"]) == (("crop", "i3d_pretrained_400.pt"), None)


@pytest.mark.parametrize(
    "option",
    [
        *(("--frames", "16"), ("--seed", "0"), ("--ddof", "0"), ("--resize", "squash")),
        *(("--features", "i3d"), ("--clips", "2048"), ("--start", "first"), ("--stride", "1")),
    ],
)
def test_what_the_preset_fixes_may_not_be_given(folders, tmp_path, capsys, option):
    assert call(folders, *PRESET, *option, "--cache", str(tmp_path)) == cli.USAGE
    assert "--preset fixes features, frames, stride" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--features", "world", "--resize", "crop"), cli.USAGE, "--resize crop is for i3d"),
        (("--features", "world", "--frames", "2"), cli.USAGE, "num_frames=2 does not suit world"),
        (("--weights", "absent.pt"), cli.FAILURE, "i3d_torchscript.pt is missing: looked for absent.pt"),
        (
            (*PRESET, "--weights", "absent.pt"),
            cli.FAILURE,
            "i3d_pretrained_400.pt is missing: looked for abs",
        ),
        (("--frames", "0"), cli.USAGE, "num_frames=0"),
        (("--features", "world", "--resize", "squash"), cli.USAGE, "--resize squash is for i3d"),
    ],
)
def test_what_does_not_fit_is_refused(folders, tmp_path, capsys, arguments, code, message):
    assert call(folders, "--cache", str(tmp_path), *arguments) == code
    assert message in capsys.readouterr().err


def test_folders_that_are_not_there_are_refused(folders, tmp_path, capsys):
    assert call((folders[0], tmp_path / "absent")) == cli.USAGE
    assert "absent is no folder" in capsys.readouterr().err
