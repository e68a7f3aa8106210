"""``rufous prune``: a release to a smaller one, for a budget or as published."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rufous.apps.prompt_files import read_prompts

if TYPE_CHECKING:
    from torch import nn

    from rufous.compression import NetworkCall
    from rufous.pipelines import TextToVideoPipeline

NUM_PROMPTS = 4
PROMPTS = (
    "a person walks a dog along a beach at sunset",
    "close-up of a hummingbird hovering at a red flower",
    "cars drive through a city street at night in the rain",
    "a sailing boat crosses a lake below snowy mountains",
)
"""Asked of models that read any text, when no prompts are given."""


def prune(
    model: Annotated[str, typer.Argument(help="Embedded or published name, release folder, or hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Release folder to make.")],
    budget: Annotated[
        str | None,
        typer.Option(help="-45% (parameters), 1.6GB (bytes of the network's weights) or 2x (times as fast)."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Published block map: hummingbird-0.9b or hummingbird-0.7b.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="A block to remove, for example middle_block; may be repeated.")
    ] = None,
    student: Annotated[
        Path | None, typer.Option(help="File with the student's config, as config.json of a release.")
    ] = None,
    blocks: Annotated[
        Literal["parts", "stages"], typer.Option(help="What a budget may take: stages, or their parts too.")
    ] = "parts",
    importance: Annotated[
        Literal["output", "influence", "none"] | None,
        typer.Option(help="What a budget goes by; output by default, none without a budget."),
    ] = None,
    remeasure: Annotated[
        bool, typer.Option("--remeasure", help="Measure what is left anew after each removal.")
    ] = False,
    prompts: Annotated[
        Path | None, typer.Option(help="File of prompts to measure on; by default four that suit the model.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps to measure on, for each prompt.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the clips that are measured on.")] = 0,
    latency_calls: Annotated[
        int, typer.Option(help="Calls that a latency is the median of; 0 leaves it out.")
    ] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16, to measure in.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a release that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make a release with a smaller network, whose weights are the old one's; it wants training afterwards.

    Name one of --budget, --preset, --remove and --student. A budget measures how much each block matters
    while the model samples a few clips; the others need no data.
    """
    from rufous.checkpoints.lookup import find_release
    from rufous.checkpoints.release import check_target, load_component, load_config
    from rufous.compression import PruneConfig, prune_release
    from rufous.compression.release import prunable_component
    from rufous.core.config import to_json_dict
    from rufous.core.console import show_log
    from rufous.core.devices import pick_device, pick_dtype

    # 1. everything that can be refused before weights are read
    texts = [line.prompt for line in read_prompts(prompts)] if prompts else None
    check_target(output, overwrite=overwrite)
    folder = find_release(model)
    name = prunable_component(folder)
    config = PruneConfig(
        budget=budget,
        preset=preset,
        remove=tuple(remove or ()),
        student=_read_config(student, type(load_config(folder, name))) if student else None,
        blocks=blocks,
        importance=importance,
        remeasure=remeasure,
        num_latency_calls=latency_calls,
    )
    if not quiet:
        show_log()
    # 2. load, measure, choose and write
    if config.measures_importance:
        from rufous.pipelines import load

        pipeline = load(folder, device=device, dtype=dtype)
        network: nn.Module = pipeline.unet
    else:
        pipeline, target = None, pick_device(device)
        network = load_component(folder, name, device=target, dtype=pick_dtype(dtype, target))
    manifest, report = prune_release(
        folder,
        output,
        config,
        network=network,
        data=None if pipeline is None else lambda: _sampled_calls(pipeline, texts, steps=steps, seed=seed),
        seeds={"calibration": seed} if config.measures_importance else {},
        overwrite=overwrite,
    )
    # 3. report
    if as_json:
        typer.echo(json.dumps({"manifest_id": manifest.id, **to_json_dict(report)}, indent=2))
        return
    typer.echo((output / "pruning.md").read_text(encoding="utf-8"))
    typer.echo(f"{output}: manifest {manifest.id}")


def _sampled_calls(
    pipeline: "TextToVideoPipeline", prompts: Sequence[str] | None, *, steps: int, seed: int
) -> "list[NetworkCall]":
    """What the network is called with while the model samples one clip for each prompt."""
    from rufous.compression import recorded_calls
    from rufous.core.randomness import generator_from

    with recorded_calls(pipeline.unet) as calls:
        pipeline(
            prompts or _default_prompts(pipeline, seed),
            num_inference_steps=steps,
            generator=generator_from(seed, "calibration"),
            output_type="latent",
        )
    return calls


def _default_prompts(pipeline: "TextToVideoPipeline", seed: int) -> Sequence[str]:
    """Captions of the world for a model that knows its words alone, sentences of any kind for the others."""
    from rufous.networks.text_encoders import WordTokenizer

    if not isinstance(pipeline.tokenizer, WordTokenizer):
        return PROMPTS
    import numpy as np

    from rufous.world import caption_of, sample_scene

    rng = np.random.default_rng([seed, NUM_PROMPTS])
    scenes = [sample_scene(rng, level="core", split="train") for _ in range(NUM_PROMPTS)]
    return [caption_of(scene, rng, complete=True) for scene in scenes]


def _read_config(path: Path, config_class: type[Any]) -> Any:
    """A component's config from a file.

    Raises:
        ValueError: There is no such file, or no such config in it.
    """
    from rufous.checkpoints.manifest import read_json
    from rufous.core.config import from_json_dict

    if not path.is_file():
        raise ValueError(f"--student {path}: no such file; name a network's config.json, as in a release")
    values = {key: value for key, value in read_json(path).items() if not key.startswith("_")}
    return from_json_dict(config_class, values)
