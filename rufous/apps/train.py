"""``rufous train`` and ``rufous recipes``."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rufous.recipes import Recipe


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; 'rufous recipes' lists them.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value or group.key=value.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Folder of the run; see below.")] = None,
    preset: Annotated[str | None, typer.Option(help="Settings to start from.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings and stop.")] = False,
) -> None:
    """Run a recipe; a run that was interrupted goes on where it stopped, with the same command.

    Its folder is runs/RECIPE, or runs/RECIPE_PRESET with a preset that differs from the usual settings.
    """
    made = run_recipe(recipe, overrides, preset=preset, run_dir=run_dir, device=device, is_dry_run=dry_run)
    if made is not None:
        typer.echo(str(made))


def run_recipe(
    name: str,
    overrides: list[str] | None,
    *,
    preset: str | None,
    run_dir: Path | None,
    device: str,
    is_dry_run: bool,
) -> Path | None:
    """Run a recipe in ``run_dir``, or print its settings.

    By default the folder is ``runs/NAME``, or ``runs/NAME_PRESET`` with a preset that differs from the usual
    settings, so that no preset finds the checkpoints of another.

    Returns:
        What it made; None after a dry run, and in all processes of torchrun but the first.

    Raises:
        ValueError: No such recipe, preset or field.
    """
    from rufous.core.config import override, to_json_dict

    recipe = _find_recipe(name)
    chosen = recipe.preset(preset)
    config = override(chosen, overrides or [])
    if is_dry_run:
        typer.echo(json.dumps(to_json_dict(config), indent=2))
        return None
    from rufous.core.console import show_log
    from rufous.core.devices import pick_device

    show_log()
    folder = recipe.name if chosen == recipe.config else f"{recipe.name}_{preset}"
    made = recipe.run(config, run_dir or Path("runs") / folder, pick_device(device))
    return made if os.environ.get("RANK", "0") == "0" else None


def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes, with their presets."""
    from rufous.recipes import RECIPES

    rows = [
        {"name": recipe.name, "summary": recipe.summary, "presets": list(recipe.presets)}
        for recipe in RECIPES.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        presets = f" (presets: {', '.join(row['presets'])})" if row["presets"] else ""
        typer.echo(f"{row['name']}: {row['summary']}{presets}")


def _find_recipe(name: str) -> "Recipe":
    import difflib

    from rufous.recipes import RECIPES

    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"recipe={name!r} is unknown: {hint}use one of {', '.join(RECIPES)}")
    return RECIPES[name]
