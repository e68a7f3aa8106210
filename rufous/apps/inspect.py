"""``rufous models``, ``rufous info`` and ``rufous verify``: what there is, and what a path holds."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rufous.checkpoints import ChainLink


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
    path: Annotated[
        str, typer.Argument(help="Release folder, component folder, file to convert, or name of a model.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print parameters, dtypes, config and manifest of a path, without loading weights."""
    from rufous.checkpoints.info import describe_path
    from rufous.checkpoints.lookup import local_release
    from rufous.core.config import to_json_dict

    found = describe_path(local_release(path))
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
    releases: Annotated[list[str], typer.Argument(help="Release folders, or names of models.")],
    chain: Annotated[
        bool, typer.Option("--chain", help="Check parents as well; always so for several releases.")
    ] = False,
    search: Annotated[
        list[Path] | None,
        typer.Option("--in", help="Folder that may hold parents, at any depth; repeatable; implies --chain."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail when a parent is missing; implies --chain.")
    ] = False,
) -> None:
    """Hash every file of a release again and compare with its manifest; with --chain, of its parents too.

    A chain is printed as a tree, each release above those it was made from. Parents are looked for among the
    releases that are named, the embedded models and what lies under --in. A file or a parent that changed is
    a failure; a parent that is not found is one with --strict only.
    """
    from rufous.checkpoints import verify_chain, verify_release
    from rufous.checkpoints.lookup import local_release

    folders = [local_release(name) for name in releases]
    if chain or search or strict or len(folders) > 1:
        _print_chain(verify_chain(folders, search=search or ()), strict=strict)
        return
    manifest = verify_release(folders[0])
    typer.echo(f"{releases[0]}: {len(manifest.files)} files are as the manifest {manifest.id} says")


def _print_chain(roots: Sequence["ChainLink"], *, strict: bool) -> None:
    """The tree and a sum of it.

    Raises:
        CheckpointError: A link is changed, or missing with ``strict``.
    """
    from rufous.checkpoints.chain import walk
    from rufous.core.errors import CheckpointError

    found: dict[str, list[str]] = {"ok": [], "missing": [], "changed": []}
    for depth, link, is_repeated in walk(roots):
        notes = [f" ({link.role})" if link.role else "", f": {link.reason}" if link.reason else ""]
        hashed = link.manifest_id or (link.sha256 or "no hash")[:12]
        above = ", as above" if is_repeated else ""
        typer.echo(f"{link.state:<8} {'  ' * depth}{link.name} {hashed}{''.join(notes)}{above}")
        if not is_repeated:
            found[link.state].append(link.name)
    counts = ", ".join(f"{len(names)} {state}" for state, names in found.items() if names)
    typer.echo(f"{sum(map(len, found.values()))} in the chain: {counts}")
    if found["changed"]:
        raise CheckpointError(f"changed: {', '.join(found['changed'])}; fetch or make them again")
    if found["missing"] and strict:
        names = ", ".join(found["missing"])
        raise CheckpointError(f"missing: {names}; give their folders, or one that holds them with --in")


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
