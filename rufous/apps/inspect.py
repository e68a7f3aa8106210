"""``rufous models``, ``rufous info`` and ``rufous verify``: what there is, and what a path holds."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the embedded models and the published releases that can be fetched."""
    from rufous.checkpoints.lookup import embedded_models
    from rufous.checkpoints.manifest import Manifest
    from rufous.checkpoints.published import PUBLISHED

    embedded = [
        {
            "name": name,
            "source": "embedded",
            "bytes": sum(record.size_bytes for record in manifest.files.values()),
            "licence": ", ".join(sorted(set(manifest.licences.values()))) or None,
            "verified": _figures_text(manifest.figures) or None,
        }
        for name, manifest in ((name, Manifest.load(path)) for name, path in embedded_models().items())
    ]
    published = [
        {
            "name": release.name,
            "title": release.title,
            "source": release.hub_id,
            "files": [f"{file.hub_id}/{file.file}" for file in release.files],
            "bytes": _total(file.size_bytes for file in release.files),
            "unet_parameters": release.unet_parameters,
            "licence": release.licence,
            "verified": release.verified,
        }
        for release in PUBLISHED.values()
    ]
    if as_json:
        typer.echo(json.dumps([*embedded, *published], indent=2))
        return
    for title, rows in (("embedded", embedded), ("published, fetched and converted on first use", published)):
        typer.echo(f"{title}:" if rows else f"{title}: none")
        for row in rows:
            _print_model(row)


def info(
    path: Annotated[Path, typer.Argument(help="Release folder, component folder, or file to convert.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print parameters, dtypes, config and manifest of a path, without loading weights."""
    from rufous.checkpoints.info import describe_path
    from rufous.checkpoints.lookup import embedded_models
    from rufous.core.config import to_json_dict

    found = describe_path(embedded_models().get(str(path), path))
    if as_json:
        manifest = None if found.manifest is None else to_json_dict(found.manifest)
        components = [to_json_dict(component) for component in found.components]
        values = {"path": str(found.path), "layout": found.layout, "components": components}
        typer.echo(json.dumps({**values, "manifest": manifest, "notes": found.notes}, indent=2))
        return
    typer.echo(f"{found.path}: {found.layout}, {found.num_parameters:,} parameters")
    for component in found.components:
        dtypes = ", ".join(f"{count} x {dtype}" for dtype, count in component.dtypes.items())
        typer.echo(
            f"  {component.name} ({component.kind}): {component.num_parameters:,} parameters, {dtypes}"
        )
        if component.config:
            typer.echo(f"    {json.dumps(component.config)}")
    if found.manifest is not None:
        typer.echo(f"  manifest {found.manifest.id}")
        typer.echo("    " + found.manifest.text.strip().replace("\n", "\n    "))
    for note in found.notes:
        typer.echo(f"  {note}")


def verify(
    path: Annotated[Path, typer.Argument(help="Release folder, or the name of an embedded model.")],
) -> None:
    """Hash every file of a release again and compare with its manifest."""
    from rufous.checkpoints import verify_release
    from rufous.checkpoints.lookup import embedded_models

    manifest = verify_release(embedded_models().get(str(path), path))
    typer.echo(f"{path}: {len(manifest.files)} files are as the manifest {manifest.id} says")


def _total(sizes: Iterable[int | None]) -> int | None:
    """The sum, or None if a size is unknown."""
    known = list(sizes)
    return None if None in known else sum(size or 0 for size in known)


def _figures_text(figures: Any) -> str:
    """Measured numbers in one line, groups by their total alone; ``rufous info`` has everything."""
    parts = [f"{name} {value:g}" for name, value in figures.items() if isinstance(value, int | float)]
    groups = {name: group for name, group in figures.items() if isinstance(group, dict)}
    for name, group in groups.items():
        for part, row in group.items():
            if isinstance(row, dict) and "all_right" in row:
                parts.append(f"{name} {part.replace('_', ' ')}: {row['all_right']:.1%} all right")
    return "; ".join(parts)


def _print_model(row: dict[str, Any]) -> None:
    size = "size unknown" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.0f} MB"
    parameters = f", U-Net {row['unet_parameters'] / 1e9:.2f} B" if "unet_parameters" in row else ""
    licence = row["licence"] or "unknown, read its page"
    typer.echo(f"  {row['name']}: {row.get('title', row['source'])}{parameters}, {size}, licence {licence}")
    for file in row.get("files", ()):
        typer.echo(f"    file      {file}")
    if row["verified"]:
        typer.echo(f"    verified  {row['verified']}")
