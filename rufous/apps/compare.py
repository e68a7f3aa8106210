"""``rufous compare``: models side by side on the same prompts and seeds, as a page of clips and a picture."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rufous.apps.clips import rounded
from rufous.apps.generate import checked_seed, parse_size, seeded
from rufous.apps.model_arguments import ModelArgument, parse_models
from rufous.apps.outputs import check_folder
from rufous.apps.progress import step_bar, timed, timing_line
from rufous.apps.prompt_files import PromptLine, read_prompts

if TYPE_CHECKING:
    from rufous.evaluation import ComparedModel, SeededPrompt
    from rufous.evaluation.side_by_side import Generate
    from rufous.pipelines import TextToVideoPipeline
    from rufous.pipelines.request import GenerationRequest

DEFAULT_PAGE = Path("compare.html")
SUFFIXES = (".html", ".htm")


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="As of generate, or MODEL:steps=4,guidance=1,solver=lcm,label=TEXT."
        ),
    ],
    prompt: Annotated[list[str] | None, typer.Option(help="One row; repeatable.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="File with a prompt per line, or .jsonl with prompt and seed.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page, .html; the picture lies beside it, .png.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every row that has none of its own.")] = 0,
    steps: Annotated[
        str | None, typer.Option(help="Denoising steps: one value, or one per model: 50,50,4.")
    ] = None,
    guidance: Annotated[str | None, typer.Option(help="Guidance scale: one value, or one per model.")] = None,
    frames: Annotated[int | None, typer.Option(help="Number of frames.")] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels, or one number for a square.")
    ] = None,
    sheet_frames: Annotated[int, typer.Option(min=1, help="Frames of each clip in the picture.")] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report instead of paths.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress or timings.")] = False,
) -> None:
    """Compare models on the same prompts and seeds: a page of clips, and a picture of a few frames.

    What a MODEL says of itself counts before --steps and --guidance; what nobody says is the model's own.
    Files that exist are kept unless --overwrite is given; the default, compare.html, is always replaced. The
    times are those of denoising, measured after a step that is not counted.
    """
    seconds: dict[str, float] = {}
    # 1. everything that can be refused without torch
    chosen = parse_models(models, steps=steps, guidance=guidance)
    lines = [PromptLine(prompt=text) for text in prompt or []] + (read_prompts(prompts) if prompts else [])
    if not lines:
        raise ValueError("no prompt: give one or more with --prompt, or a file with --prompts")
    seeds = [checked_seed(line.seed, seed) for line in lines]
    page = output or DEFAULT_PAGE
    _check_output(page, overwrite=overwrite or output is None)
    sizes = {"num_frames": frames, **parse_size(size)}
    with timed(seconds, "import"):
        from rufous.evaluation import SeededPrompt, compare_models, write_contact_sheet, write_page
    rows = [SeededPrompt(prompt=line.prompt, seed=own) for line, own in zip(lines, seeds, strict=True)]
    # 2. load each model once, and refuse what it cannot do before any work
    with timed(seconds, "check"):
        checked = [_check(each, rows, sizes, device=device, dtype=dtype) for each in chosen]
        checked = _told_apart(checked, models)
    # 3. generate and measure, one model after another
    total = len(rows) * sum(each.num_steps for each in checked)
    with timed(seconds, "generate"), step_bar(total, visible=not quiet) as advance:
        comparison = compare_models([_column(each, rows[0], advance) for each in checked], rows)
    # 4. write and report
    with timed(seconds, "write"):
        sheet = write_contact_sheet(page.with_suffix(".png"), comparison, num_frames=sheet_frames)
        write_page(page, comparison, notes=[_how_timed(device, dtype)])
    if as_json:
        from rufous.evaluation.side_by_side import to_report

        report = {
            "page": str(page),
            "sheet": str(sheet),
            **to_report(comparison),
            "seconds": rounded(seconds),
        }
        typer.echo(json.dumps(report, indent=2))
    elif not quiet:
        typer.echo(f"{page}\n{sheet}")
    if not quiet:
        typer.echo(timing_line(seconds), err=True)


def _check_output(page: Path, *, overwrite: bool) -> None:
    if page.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--output {page}: the page is one HTML file: name it .html")
    for path in (page, page.with_suffix(".png")):
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists: add --overwrite, or choose another --output")
    check_folder(page.parent)


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """A model that can do what is asked of it."""

    source: dict[str, str]
    """Arguments of ``load``."""
    settings: dict[str, Any]
    """Arguments of the pipeline's call."""
    label: str
    subtitle: str
    details: dict[str, str | int | float]
    num_steps: int


def _check(
    chosen: ModelArgument, rows: "Sequence[SeededPrompt]", sizes: dict[str, Any], *, device: str, dtype: str
) -> _Checked:
    """Load a model, settle how it is sampled, and let go of it.

    Raises:
        ValueError: A value or a prompt does not fit the model, or the memory does not suffice.
    """
    from rufous.pipelines import load
    from rufous.pipelines.estimate import check_memory

    source = {"model": chosen.model, "device": device, "dtype": dtype}
    settings = {
        "num_inference_steps": chosen.steps,
        "guidance_scale": chosen.guidance,
        "solver": chosen.solver,
        **sizes,
    }
    pipeline = load(**source)
    request = pipeline.resolve([row.prompt for row in rows], **settings)
    check_memory(pipeline.estimate(request), request, pipeline.device)
    steps, weight = request.sampling.num_inference_steps, request.embedded_guidance_scale
    scale = request.sampling.guidance_scale if weight is None else weight + 1.0
    return _Checked(
        source=source,
        settings=settings,
        label=chosen.label or pipeline.manifest.name,
        subtitle=f"{steps} step{'s' if steps > 1 else ''}, guidance {scale:g}",
        details=_details(pipeline, request),
        num_steps=steps,
    )


def _told_apart(checked: list[_Checked], arguments: Sequence[str]) -> list[_Checked]:
    """Models whose labels repeat say as well what they were called on the command line."""
    counts = Counter(each.label for each in checked)
    return [
        replace(each, label=f"{each.label} ({argument})") if counts[each.label] > 1 else each
        for each, argument in zip(checked, arguments, strict=True)
    ]


def _details(pipeline: "TextToVideoPipeline", request: "GenerationRequest") -> dict[str, str | int | float]:
    parameters = sum(weight.numel() for weight in pipeline.unet.parameters())
    return {
        "release": pipeline.manifest.name,
        "manifest": pipeline.manifest.id,
        "U-Net": f"{parameters / 1e6:,.1f} M",
        "clip": f"{request.num_frames} frames of {request.width}x{request.height}",
        "solver": request.sampling.solver,
    }


def _column(checked: _Checked, first: "SeededPrompt", advance: Callable[[str], None]) -> "ComparedModel":
    """The model as the comparison sees it; loading it runs one step, so that the clock finds it warm."""
    from rufous.evaluation import ComparedModel, GeneratedClip
    from rufous.pipelines import load

    def load_warm() -> "Generate":
        pipeline = load(**checked.source)
        warm_up = {**checked.settings, "num_inference_steps": 1, "output_type": "latent"}
        pipeline(first.prompt, generator=seeded(first.seed), **warm_up)

        def generate(row: "SeededPrompt") -> GeneratedClip:
            result = pipeline(
                row.prompt,
                generator=seeded(row.seed),
                callback_on_step_end=lambda *_: advance(checked.label),
                **checked.settings,
            )
            frames, denoise_s = result.frames[0].cpu(), result.seconds["denoise"]
            return GeneratedClip(frames=frames, fps=result.fps, denoise_s=denoise_s)

        return generate

    return ComparedModel(
        label=checked.label, subtitle=checked.subtitle, details=checked.details, load=load_warm
    )


def _how_timed(device: str, dtype: str) -> str:
    """On what the times were taken."""
    import torch

    import rufous
    from rufous.core.devices import pick_device, pick_dtype

    target = pick_device(device)
    name = torch.cuda.get_device_name(target) if target.type == "cuda" else target.type
    if target.type == "cpu":
        name += f" with {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    kind = str(pick_dtype(dtype, target)).removeprefix("torch.")
    return (
        f"Times are wall times of denoising alone, warm, one clip at a time, on {name} in {kind}, "
        f"by rufous {rufous.__version__} and torch {torch.__version__}."
    )
