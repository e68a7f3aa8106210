"""``rufous generate``: prompts to clips."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rufous.apps.clips import Clip, made_so, rounded, write_clip
from rufous.apps.outputs import DEFAULT_FOLDER, check_outputs, plan_outputs
from rufous.apps.progress import step_bar, timed, timing_line
from rufous.apps.prompt_files import PromptLine, read_prompts
from rufous.apps.sampled_clips import class_clips, line_clips, still_to_make, suite_clips

if TYPE_CHECKING:
    from rufous.pipelines import TextToVideoPipeline
    from rufous.pipelines.estimate import Estimate
    from rufous.pipelines.request import GenerationRequest

MAX_SEED = 2**63 - 1
UCF101 = "ucf101"


def generate(
    prompt: Annotated[
        list[str] | None, typer.Argument(help="What the clip shows; one clip per prompt.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File (.mp4 .mov .mkv .webm .gif .webp .png), or a folder."),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="File with a prompt per line, or .jsonl with prompt, seed, name.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="File in VBench's layout, or vbench, world or ucf101: clips of all its prompts."),
    ] = None,
    class_prompts: Annotated[
        Path | None, typer.Option(help="For --suite ucf101: lines CLASS: PROMPT, as AnimateLCM's.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Clips of each prompt, named PROMPT-NUMBER.mp4; 5 for a suite, 24 for ucf101."
        ),
    ] = None,
    negative: Annotated[str, typer.Option(help="What the clip should not show; needs guidance.")] = "",
    model: Annotated[
        str, typer.Option(help="Embedded or published name, release folder, or hub id.")
    ] = "world-student",
    seed: Annotated[int, typer.Option(help="The same seed gives the same clip.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; 1 turns it off.")] = None,
    frames: Annotated[int | None, typer.Option(help="Number of frames.")] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels, or one number for a square.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second; the network is told them, and moves accordingly.")
    ] = None,
    save_fps: Annotated[
        float | None, typer.Option(help="Frames per second of the file alone; --fps if not given.")
    ] = None,
    solver: Annotated[str | None, typer.Option(help="ddim, euler, dpmpp_2m, dpmpp_2m_sde or lcm.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    batch_size: Annotated[
        int, typer.Option(min=1, help="Clips made at once; a GPU is faster with more, and needs more memory.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report instead of paths.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes or timings.")] = False,
) -> None:
    """Generate a clip from each prompt.

    Options left out take the model's own values. Files that exist are kept unless --overwrite is given; the
    default outputs, out.mp4 and the folder out, are always replaced. A manifest is written beside each clip.

    With --prompts and an --output, with --suite and with --samples, clips that are there and were made so
    stay, and the same command again makes those that are missing. With --suite or --samples, seeds follow
    from --seed, prompt and number.
    """
    seconds: dict[str, float] = {}
    # 1. everything that can be refused without torch
    is_sampled = suite is not None or samples is not None
    goes_on = is_sampled or (prompts is not None and output is not None)
    if class_prompts is not None and suite != UCF101:
        raise ValueError(f"--class-prompts is for --suite {UCF101}")
    if is_sampled:
        folder = output or DEFAULT_FOLDER
        clips = sampled_clips(
            prompt or [], prompts, suite, folder, samples, seed, class_prompts=class_prompts
        )
    else:
        clips = _single_clips(_prompt_lines(prompt or [], prompts), output, seed)
    if suite == UCF101 and class_prompts is None and not quiet:
        typer.echo("note: class names as words, not the protocol's prompts: see --class-prompts", err=True)
    options = call_options(
        steps=steps, guidance=guidance, frames=frames, size=size, fps=fps, solver=solver, negative=negative
    )
    options["written_fps"] = save_fps
    # 2. make them
    reports = make_clips(
        clips,
        options,
        model=model,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        keep_made=goes_on,
        overwrite=overwrite or (output is None and not goes_on),
        quiet=quiet,
        seconds=seconds,
    )
    # 3. report
    if as_json:
        typer.echo(json.dumps({"clips": reports, "seconds": rounded(seconds)}, indent=2))
    elif not quiet:
        typer.echo("\n".join(str(clip.path) for clip in clips))
    if not quiet:
        typer.echo(timing_line(seconds), err=True)


def make_clips(
    clips: Sequence[Clip],
    options: Mapping[str, Any],
    *,
    model: str,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 1,
    keep_made: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    seconds: dict[str, float],
) -> list[dict[str, Any]]:
    """Make clips with one model, and print nothing but notes and progress on stderr.

    Args:
        clips: What to make.
        options: Arguments of the pipeline's call, for all clips; None leaves one to the model.
        model: As on the command line.
        device: Where.
        dtype: In which precision.
        batch_size: Clips made at once.
        keep_made: Leave clips that are there as they are, if they were made in the same way.
        overwrite: Replace files that are there.
        quiet: Print nothing at all.
        seconds: Wall time by stage; what this takes is added.

    Returns:
        The manifest of each clip that was made.

    Raises:
        ValueError: A file that may not be replaced, or options that the model cannot follow.
        OSError: A folder that cannot be written, or a full disk.
    """
    paths = [clip.path for clip in clips]
    with timed(seconds, "import"):
        from rufous.pipelines import load
        from rufous.pipelines.estimate import check_memory
    check_outputs(paths, overwrite=overwrite or keep_made)
    # 1. load, and refuse what the model cannot do
    with timed(seconds, "load"):
        pipeline = load(model, device=device, dtype=dtype)
    request = pipeline.resolve([clip.prompt for clip in clips], **options)
    if keep_made:
        clips = still_to_make(clips, made_so(request, pipeline), overwrite=overwrite)
    _check_file_rate(paths, request.written_fps)
    batch_size = max(1, min(batch_size, len(clips)))
    estimate = pipeline.estimate(request, batch_size=batch_size)
    check_memory(estimate, request, pipeline.device)
    if not quiet:
        if clips:
            _say_what_to_expect(pipeline, request, estimate, clips, batch_size)
        if len(clips) < len(paths):
            typer.echo(f"{len(paths) - len(clips)} of {len(paths)} clips are there already", err=True)
    # 2. generate and write, batch by batch
    reports: list[dict[str, Any]] = []
    starts = range(0, len(clips), batch_size)
    with step_bar(len(starts) * request.sampling.num_inference_steps, visible=not quiet) as advance:
        for start in starts:
            batch = clips[start : start + batch_size]
            doing = f"clip {start + len(batch)} of {len(clips)}"
            result = pipeline(
                [clip.prompt for clip in batch],
                generator=[seeded(clip.seed) for clip in batch],
                callback_on_step_end=lambda *_, doing=doing: advance(doing),
                batch_size=batch_size,
                **options,
            )
            for clip, made in zip(batch, result.each(), strict=True):
                reports.append(write_clip(clip, made, pipeline, seconds=seconds))
    return reports


def call_options(
    *,
    steps: int | None,
    guidance: float | None,
    frames: int | None,
    size: str | None,
    fps: float | None,
    solver: str | None,
    negative: str | None,
) -> dict[str, Any]:
    """Arguments of the pipeline's call from the options of the command line; None leaves one to the model."""
    return {
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "num_frames": frames,
        "fps": fps,
        "solver": solver,
        "negative_prompt": negative or "",
        **parse_size(size),
    }


def _prompt_lines(arguments: Sequence[str], file: Path | None) -> list[PromptLine]:
    lines = [PromptLine(prompt=text) for text in arguments]
    if file is not None:
        lines += read_prompts(file)
    if not lines:
        raise ValueError("no prompt: write one after 'rufous generate', or give a file with --prompts")
    return lines


def _single_clips(lines: Sequence[PromptLine], output: Path | None, seed: int) -> list[Clip]:
    return [
        Clip(prompt=line.prompt, seed=checked_seed(line.seed, seed), path=path)
        for line, path in zip(lines, plan_outputs(lines, output), strict=True)
    ]


def sampled_clips(
    arguments: Sequence[str],
    file: Path | None,
    suite: str | None,
    folder: Path,
    samples: int | None,
    seed: int,
    *,
    class_prompts: Path | None = None,
) -> list[Clip]:
    """The clips of a suite, or several of each prompt; what --output names is a folder."""
    if folder.suffix and not folder.is_dir():
        raise ValueError(f"--output {folder}: with --suite or --samples it is a folder, without a suffix")
    checked_seed(None, seed)
    if suite is None:
        lines = _prompt_lines(arguments, file)
        return line_clips(lines, folder, samples=samples or 1, seed=seed)
    if arguments or file is not None:
        raise ValueError("--suite brings its own prompts: give no others")
    if suite == UCF101:
        from rufous.evaluation import ucf101

        named = ucf101.plain_prompts() if class_prompts is None else ucf101.read_class_prompts(class_prompts)
        return class_clips(named, folder, samples=samples or ucf101.CLIPS_PER_CLASS, seed=seed)
    from rufous.evaluation.vbench.known_suites import find_suite
    from rufous.evaluation.vbench.suite import SAMPLES

    return suite_clips(find_suite(suite), folder, samples=samples or SAMPLES, seed=seed)


def checked_seed(own: int | None, default: int) -> int:
    """A prompt's own seed, or else the command line's; a ``ValueError`` if it is out of range."""
    seed = default if own is None else own
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed={seed} is out of range: use 0 to {MAX_SEED}")
    return seed


def parse_size(text: str | None) -> dict[str, int | None]:
    """Width and height of ``64x48``, or of ``64`` for a square; None leaves both to the model."""
    if text is None:
        return {"width": None, "height": None}
    match = re.fullmatch(r"(\d{1,6})(?:[xX](\d{1,6}))?", text.strip())
    if match is None:
        raise ValueError(f"--size {text!r} is no size: write WIDTHxHEIGHT, for example 64x64")
    width = int(match[1])
    return {"width": width, "height": int(match[2]) if match[2] else width}


def _check_file_rate(paths: Sequence[Path], fps: float) -> None:
    """A rate that the format cannot show is refused before the work, not after it."""
    from rufous.video.write import exact_fps

    exact_fps(fps)
    if fps > 50 and any(path.suffix.lower() == ".gif" for path in paths):
        raise ValueError(f"fps={fps} is too fast for .gif: use at most 50, or .mp4")


def _say_what_to_expect(
    pipeline: "TextToVideoPipeline",
    request: "GenerationRequest",
    estimate: "Estimate",
    clips: Sequence[Clip],
    batch_size: int,
) -> None:
    """Predicted memory and time of clips, and a line for prompts that the model has no words for."""
    from rufous.core.devices import matmul_flop_per_s
    from rufous.pipelines.estimate import memory_text

    rate = matmul_flop_per_s(pipeline.device, pipeline.dtype)
    typer.echo(
        f"{pipeline.manifest.name} on {pipeline.device} in {str(pipeline.dtype).removeprefix('torch.')}: "
        f"{request.num_frames} frames of {request.width}x{request.height}, "
        f"{request.sampling.num_inference_steps} steps, predicted {memory_text(estimate.peak_bytes)} and "
        f"about {max(1, round(len(clips) / batch_size * estimate.seconds(rate)))} s",
        err=True,
    )
    if note := _grammar_note(pipeline, [clip.prompt for clip in clips]):
        typer.echo(note, err=True)


def _grammar_note(pipeline: "TextToVideoPipeline", prompts: Sequence[str]) -> str | None:
    """What the embedded models know, if a prompt is outside of it; None for every other model."""
    from rufous.networks.text_encoders import WordTokenizer
    from rufous.pipelines.prompts import shortened
    from rufous.world.captions import MOTION_PHRASES, parse_caption
    from rufous.world.scene import COLORS
    from rufous.world.shapes import SHAPES

    if not isinstance(pipeline.tokenizer, WordTokenizer):
        return None
    outside = [prompt for prompt in dict.fromkeys(prompts) if parse_caption(prompt) is None]
    if not outside:
        return None
    others = f", as {len(outside) - 1} other prompts are" if len(outside) > 1 else ""
    return (
        f"note: {shortened(outside[0])} is outside this model's small world{others}, so the clip may show "
        f"anything; it knows the shapes {', '.join(SHAPES)}; the colours {', '.join(COLORS)}; the motions "
        f"{', '.join(MOTION_PHRASES)}; for example 'a red circle moving left on a white background'"
    )


def seeded(seed: int) -> Any:
    """The generator that a clip of this seed is made with."""
    import torch

    return torch.Generator().manual_seed(seed)
