"""``rufous reproduce``: a whole road by one command."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rufous.apps.train import run_recipe


def reproduce(
    what: Annotated[Literal["world"], typer.Argument(help="The road to go: world.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value or group.key=value.")] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="small (half an hour on two cores), full (the shipped model), or student (the same from "
            "the teacher that ships)."
        ),
    ] = "small",
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/reproduce_world_PRESET by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings and stop.")] = False,
) -> None:
    """Go from nothing to a few-step student and print what each step costs; the same command resumes."""
    table = run_recipe(
        f"{what}_reproduce",
        overrides,
        preset=preset,
        run_dir=run_dir or Path("runs") / f"reproduce_{what}_{preset}",
        device=device,
        is_dry_run=dry_run,
    )
    if table is not None:
        typer.echo(table.read_text(encoding="utf-8"), nl=False)
