"""``rufous generate``: files, manifests, reports, and every input that is refused."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rufous.apps import cli
from rufous.apps.sampled_clips import seed_of
from rufous.pipelines import TextToVideoPipeline
from rufous.video import probe, read_video

PROMPT = "a red circle moving left on a white background"
Generate = Callable[..., int]


@pytest.fixture
def generate(tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generate:
    """Run ``rufous generate`` in an empty folder with the tiny model, and return its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> int:
        return cli.run(
            ["generate", "--model", str(tiny_release), "--device", "cpu", "--dtype", "fp32", *arguments]
        )

    return call


def test_one_prompt_makes_the_named_clip_with_its_manifest(
    generate: Generate, capsys: pytest.CaptureFixture[str], tiny_pipeline: TextToVideoPipeline
):
    assert generate(PROMPT, "-o", "made/clip.mp4", "--seed", "5", "--frames", "6", "--fps", "4") == cli.DONE
    info = probe("made/clip.mp4")
    assert (info.num_frames, info.width, info.height) == (6, 16, 16)
    assert float(info.fps) == 4.0
    assert info.metadata["prompt"] == PROMPT
    manifest = json.loads(Path("made/clip.json").read_text())
    assert manifest["seed"] == 5
    assert manifest["manifest_id"] == tiny_pipeline.manifest.id == info.metadata["manifest_id"]
    assert manifest["sampling"]["num_inference_steps"] == 3
    shown = capsys.readouterr()
    assert shown.out.strip() == "made/clip.mp4"
    assert "predicted" in shown.err
    for stage in ("import", "load", "text", "denoise", "decode", "write", "total"):
        assert f"{stage} " in shown.err.splitlines()[-1]


def test_clips_made_at_once_are_those_made_one_by_one(
    generate: Generate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    sizes: list[int] = []
    denoise = TextToVideoPipeline._denoise

    def counting(self, request, cond, uncond, generators, callback):
        sizes.append(len(generators))
        return denoise(self, request, cond, uncond, generators, callback)

    monkeypatch.setattr(TextToVideoPipeline, "_denoise", counting)
    prompts = ("a red circle", "a blue star", "a green heart")
    for folder, size in (("single", "1"), ("batched", "2")):
        assert generate(*prompts, "-o", folder, "--batch-size", size, "--json") == cli.DONE
        made = json.loads(capsys.readouterr().out)["clips"]
    assert sizes == [1, 1, 1, 2, 1]
    single, batched = (sorted(Path(folder).glob("*.mp4")) for folder in ("single", "batched"))
    assert [path.name for path in single] == [path.name for path in batched]
    for one, other in zip(single, batched, strict=True):
        difference = read_video(one)[0].float() - read_video(other)[0].float()
        assert difference.abs().max() <= 2.0  # rounding, through a lossy file
        assert json.loads(other.with_suffix(".json").read_text())["prompt"] in prompts
    assert [clip["prompt"] for clip in made] == list(prompts)
    assert made[0]["seconds"]["denoise"] == made[1]["seconds"]["denoise"]


def test_the_rate_of_the_file_alone_changes_no_pixel(generate: Generate):
    for name, rates in {"plain": (), "slow": ("--save-fps", "5"), "told": ("--fps", "5")}.items():
        assert generate(PROMPT, "-o", f"{name}.webp", *rates, "--quiet") == cli.DONE
    told = {name: json.loads(Path(f"{name}.json").read_text()) for name in ("plain", "slow", "told")}
    assert {name: (each["fps"], each["network_fps"]) for name, each in told.items()} == {
        "plain": (8.0, 8.0),
        "slow": (5.0, 8.0),
        "told": (5.0, 5.0),
    }
    plain, slow = (read_video(f"{name}.webp") for name in ("plain", "slow"))
    assert torch.equal(plain[0], slow[0])


def test_the_clip_is_the_one_that_python_makes(generate: Generate, tiny_pipeline: TextToVideoPipeline):
    assert generate(PROMPT, "-o", "clip.webp", "-o", "frames_%02d.png", "--seed", "5", "--quiet") == cli.DONE
    frames, _ = read_video("frames_%02d.png")
    expected = tiny_pipeline(PROMPT, generator=torch.Generator().manual_seed(5)).frames[0]
    assert torch.equal(frames, expected)


def test_without_output_the_default_is_replaced(generate: Generate):
    assert generate(PROMPT, "--quiet") == cli.DONE
    first = Path("out.mp4").read_bytes()
    assert generate(PROMPT, "--quiet", "--seed", "9") == cli.DONE
    assert Path("out.mp4").read_bytes() != first


def test_a_named_file_is_kept_unless_overwriting_is_asked_for(
    generate: Generate, capsys: pytest.CaptureFixture[str]
):
    Path("clip.mp4").write_text("mine")
    assert generate(PROMPT, "-o", "clip.mp4") == cli.USAGE
    assert "clip.mp4 exists: add --overwrite" in capsys.readouterr().err
    assert Path("clip.mp4").read_text() == "mine"
    assert generate(PROMPT, "-o", "clip.mp4", "--overwrite") == cli.DONE
    assert probe("clip.mp4").num_frames == 4


def test_several_prompts_fill_a_folder_and_the_report_lists_them(
    generate: Generate, capsys: pytest.CaptureFixture[str]
):
    assert generate(PROMPT, "a blue star", "-o", "clips", "--json", "--quiet") == cli.DONE
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert shown.err == ""
    names = [Path(clip["path"]).name for clip in report["clips"]]
    assert names == ["1-a-red-circle-moving-left-on.mp4", "2-a-blue-star.mp4"]
    assert all((Path("clips") / name).is_file() for name in names)
    assert set(report["seconds"]) == {"import", "load", "text", "denoise", "decode", "write"}


def test_a_jsonl_file_gives_prompts_their_own_seeds_and_names(generate: Generate):
    lines = [{"prompt": PROMPT, "seed": 3, "name": "circle"}, {"prompt": "a star", "name": "star.gif"}]
    Path("prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert generate("--prompts", "prompts.jsonl", "-o", "clips", "--seed", "8", "--quiet") == cli.DONE
    assert json.loads(Path("clips/circle.json").read_text())["seed"] == 3
    assert json.loads(Path("clips/star.json").read_text())["seed"] == 8
    assert probe("clips/star.gif").num_frames == 4


def test_a_prompt_outside_the_world_still_generates_and_says_what_is_known(
    generate: Generate, capsys: pytest.CaptureFixture[str]
):
    assert generate("a panda on a surfboard", "-o", "clip.mp4") == cli.DONE
    notes = [
        line for line in capsys.readouterr().err.splitlines() if "outside this model's small world" in line
    ]
    assert len(notes) == 1
    assert "other prompts" not in notes[0]
    assert "circle" in notes[0]
    assert "moving left" in notes[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [PROMPT, "--size", "20x16"],
            "width=20 does not fit this model: use a multiple of 8, for example 16",
        ),
        ([PROMPT, "--size", "0x0"], "height=0 does not fit this model"),
        ([PROMPT, "--size", "big"], "--size 'big' is no size: write WIDTHxHEIGHT"),
        ([PROMPT, "--size", "999992"], "free on cpu: use fewer frames or a smaller size"),
        ([PROMPT, "--frames", "0"], "num_frames=0 is out of range: use a whole number from 1 to 1000"),
        ([PROMPT, "--frames", "10000"], "num_frames=10000 is out of range"),
        ([PROMPT, "--fps", "0"], "fps=0.0 is out of range"),
        ([PROMPT, "--guidance", "nan"], "guidance_scale=nan is out of range: use a number from 0 to 100"),
        ([PROMPT, "--steps", "0"], "num_inference_steps=0 is out of range"),
        ([PROMPT, "--steps", "2000"], "2000"),
        ([PROMPT, "--solver", "heun"], "solver='heun' is unknown: use one of ddim"),
        ([PROMPT, "--device", "tpu"], "device='tpu' is not present: use auto or one of"),
        ([PROMPT, "--dtype", "int3"], "dtype='int3' is unknown"),
        ([PROMPT, "--seed", "-1"], "seed=-1 is out of range"),
        ([PROMPT, "--fps", "60", "-o", "clip.gif"], "too fast for .gif"),
        ([PROMPT, "-o", "clip.avi"], "unknown suffix '.avi': use one of .mp4"),
        ([PROMPT, "a star", "-o", "clip.mp4"], "one file for 2 prompts: name a folder"),
        ([""], "prompt='' is empty"),
        (["red " * 30], "has 30 words: use at most 22"),
        (["x" * 1_000_000], "has 1,000,000 characters: use at most 10,000"),
        ([], "no prompt: write one after 'rufous generate'"),
    ],
)
def test_bad_values_are_one_line_code_2_and_no_file(
    arguments: list[str], message: str, generate: Generate, capsys: pytest.CaptureFixture[str]
):
    assert generate(*arguments) == cli.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_an_unknown_model_names_those_there_are(generate: Generate, capsys: pytest.CaptureFixture[str]):
    assert generate(PROMPT, "--model", "world-techer") == cli.FAILURE
    error = capsys.readouterr().err
    assert "no model 'world-techer'" in error
    assert "videocrafter2" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "contradicted"])
def test_damaged_weights_fail_in_one_line(
    damage: str,
    tiny_release: Path,
    tmp_path: Path,
    generate: Generate,
    capsys: pytest.CaptureFixture[str],
):
    model = Path(shutil.copytree(tiny_release, tmp_path / "model"))
    weights, config = model / "unet" / "model.safetensors", model / "unet" / "config.json"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "corrupt":
        weights.write_bytes(b"\0" * 1000)
    else:
        config.write_text(config.read_text().replace('"model_channels": 8', '"model_channels": 16'))
    assert generate(PROMPT, "--model", str(model), "-o", "clip.mp4") == cli.FAILURE
    error = capsys.readouterr().err
    assert "unet" in error
    assert error.count("\n") == 1
    assert not Path("clip.mp4").exists()


def test_an_output_inside_a_file_fails_before_any_work(
    generate: Generate, capsys: pytest.CaptureFixture[str]
):
    Path("taken").write_text("mine")
    assert generate(PROMPT, "-o", "taken/clip.mp4") == cli.FAILURE
    assert "is a file, not a folder: choose another --output" in capsys.readouterr().err
    assert Path("taken").read_text() == "mine"


def test_a_full_disk_fails_in_one_line_and_keeps_the_earlier_clip(tiny_release: Path, tmp_path: Path):
    """A limit on file size stands for the full disk: writing fails the same way, after the work."""
    earlier = tmp_path / "clip.mp4"
    earlier.write_text("mine")

    def limit() -> None:
        signal.signal(
            signal.SIGXFSZ, signal.SIG_IGN
        )  # so that writing fails with an error, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    command = [sys.executable, "-c", "from rufous.apps.cli import main; main()", "generate", PROMPT]
    command += ["--model", str(tiny_release), "-o", str(earlier), "--overwrite", "--quiet"]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == cli.FAILURE, done.stderr
    assert done.stderr.startswith("rufous: ")
    assert done.stderr.count("\n") == 1
    assert earlier.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [earlier]


def test_a_suite_makes_files_for_vbench_and_goes_on_where_it_was(generate: Generate, tmp_path: Path, capsys):
    suite = tmp_path / "suite.json"
    suite.write_text(json.dumps([{"prompt_en": PROMPT, "dimension": []}, {"prompt_en": "a blue star"}]))
    command = ("--suite", str(suite), "--samples", "2", "-o", "made")
    assert generate(*command, "--quiet") == cli.DONE
    made = {path.name: path.read_bytes() for path in Path("made").iterdir()}
    assert set(made) == {f"{prompt}-{i}.mp4" for prompt in (PROMPT, "a blue star") for i in (0, 1)}
    assert len(set(made.values())) == 4
    manifest = json.loads(Path(f"made.manifests/{PROMPT}-1.json").read_text())
    assert (manifest["prompt"], manifest["file"]) == (PROMPT, f"{PROMPT}-1.mp4")
    Path("made", f"{PROMPT}-1.mp4").unlink()
    assert generate(*command) == cli.DONE
    assert "3 of 4 clips are there already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("made").iterdir()} == made
    assert generate(*command, "--steps", "2") == cli.USAGE
    assert "was made with sampling" in capsys.readouterr().err


def test_a_list_with_names_goes_on_where_it_was(generate: Generate, capsys):
    lines = [{"prompt": f"a panda {i}", "seed": i, "name": f"Archery-{i:02d}.mp4"} for i in range(3)]
    Path("list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = ("--prompts", "list.jsonl", "-o", "made")
    assert generate(*command) == cli.DONE
    shown = capsys.readouterr().err
    assert shown.count("outside this model's small world") == 1
    assert "as 2 other prompts are" in shown
    made = {path.name: path.stat().st_mtime_ns for path in Path("made").iterdir()}
    assert set(made) == {f"Archery-{i:02d}.{kind}" for i in range(3) for kind in ("mp4", "json")}
    Path("made", "Archery-01.mp4").unlink()
    assert generate(*command) == cli.DONE
    shown = capsys.readouterr().err
    assert "2 of 3 clips are there already" in shown
    assert "other prompts" not in shown
    again = {path.name: path.stat().st_mtime_ns for path in Path("made").iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"Archery-01.mp4", "Archery-01.json"}
    assert generate(*command) == cli.DONE
    shown = capsys.readouterr().err
    assert "3 of 3 clips are there already" in shown
    assert "predicted" not in shown
    assert generate(*command, "--frames", "2") == cli.USAGE
    assert "was made with num_frames=4, now it is 2: add --overwrite" in capsys.readouterr().err


def test_clips_of_ucf101_are_named_by_their_classes(generate: Generate, capsys, monkeypatch):
    monkeypatch.setattr("rufous.evaluation.ucf101.CLASSES", ("Archery", "YoYo"))
    command = ("--suite", "ucf101", "--samples", "2", "-o", "made")
    assert generate(*command) == cli.DONE
    assert "not the protocol's prompts" in capsys.readouterr().err
    assert {path.name for path in Path("made").iterdir()} == {
        f"{name}-{i:02d}.mp4" for name in ("Archery", "YoYo") for i in (0, 1)
    }
    assert json.loads(Path("made.manifests/YoYo-01.json").read_text())["prompt"] == "yo yo"
    Path("prompts.yaml").write_text('Archery: "a man shoots"\nYoYo: a toy\n')
    command = (*command[:-1], "other", "--class-prompts", "prompts.yaml")
    assert generate(*command) == cli.DONE
    assert "not the protocol's prompts" not in capsys.readouterr().err
    manifest = json.loads(Path("other.manifests/Archery-00.json").read_text())
    assert (manifest["prompt"], manifest["seed"]) == ("a man shoots", seed_of("a man shoots", 0, 0))
    assert generate(PROMPT, "--class-prompts", "prompts.yaml") == cli.USAGE
    assert "--class-prompts is for --suite ucf101" in capsys.readouterr().err


def test_several_samples_of_a_list_have_seeds_of_their_own(generate: Generate, capsys):
    assert generate(PROMPT, "--samples", "2", "-o", "made", "--quiet") == cli.DONE
    seeds = [json.loads(path.read_text())["seed"] for path in sorted(Path("made.manifests").iterdir())]
    assert len(set(seeds)) == 2
    assert generate(PROMPT, "--samples", "2", "-o", "made.mp4") == cli.USAGE
    assert "it is a folder" in capsys.readouterr().err
    assert generate(PROMPT, "--suite", "world") == cli.USAGE
    assert "brings its own prompts" in capsys.readouterr().err
