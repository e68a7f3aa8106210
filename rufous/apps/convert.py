"""``rufous convert``: published files to a release folder."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def convert(
    sources: Annotated[list[Path], typer.Argument(help="Checkpoint, U-Net and LoRA files, in any order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Release folder to make.")],
    kind: Annotated[
        Literal["auto", "videocrafter2", "t2v-turbo-v1", "t2v-turbo-v2", "t2v-turbo-v2-mg", "hummingbird"],
        typer.Option(help="Whose sampling settings the release gets."),
    ] = "auto",
    dtype: Annotated[
        Literal["fp32", "fp16", "bf16", "int8", "keep"],
        typer.Option(help="Stored dtype of the weights; int8 halves the files of bf16."),
    ] = "keep",
    tokenizer: Annotated[
        str, typer.Option(help="Folder with CLIP's vocab.json and merges.txt, 'hub' or 'none'.")
    ] = "hub",
    name: Annotated[str | None, typer.Option(help="Name in the manifest; by default the folder's.")] = None,
    lora_scale: Annotated[float, typer.Option(help="Weight of a LoRA when it is merged.")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a release that exists.")] = False,
) -> None:
    """Make a release folder out of published files; pickles are read without running anything in them."""
    from rufous.checkpoints.convert import ConvertConfig
    from rufous.checkpoints.convert import convert as convert_files

    settings: dict[str, Any] = {"kind": kind, "dtype": dtype, "tokenizer": tokenizer}
    config = ConvertConfig(**settings, name=name, lora_scale=lora_scale)
    manifest = convert_files(sources, output, config, overwrite=overwrite)
    typer.echo(f"{output}: manifest {manifest.id}")
    for note in manifest.notes:
        typer.echo(f"  {note}")
