"""``rufous reproduce``: a whole road by one command."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def reproduce(
    what: Annotated[Literal["world"], typer.Argument(help="The road to go: world.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value or group.key=value.")] = None,
    preset: Annotated[
        str, typer.Option(help="small (half an hour on two cores) or full (the shipped model).")
    ] = "small",
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/reproduce_world_PRESET by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Go from nothing to a few-step student and print what each step costs; the same command resumes."""
    from rufous.core.config import override
    from rufous.core.console import show_log
    from rufous.core.devices import pick_device
    from rufous.recipes import RECIPES

    recipe = RECIPES[f"{what}_reproduce"]
    config = override(recipe.preset(preset), overrides or [])
    show_log()
    table = recipe.run(config, run_dir or Path("runs") / f"reproduce_{what}_{preset}", pick_device(device))
    typer.echo(table.read_text(encoding="utf-8"), nl=False)
