"""Strict loading: every weight has its place and every place its weight, or one error names what differs."""

import difflib
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from rufous.core.errors import CheckpointError

_LISTED = 8  # differences shown of each sort; a wrong config can produce a thousand
_SEARCHED = 5000  # names that a nearest-name search looks through


def check_shapes(
    wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], *, where: str
) -> None:
    """Compare names and shapes.

    Raises:
        CheckpointError: They differ; lists missing and unexpected names with their nearest, and wrong shapes.
    """
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    wrong = [name for name in wanted if name in given and tuple(wanted[name]) != tuple(given[name])]
    if not (missing or unexpected or wrong):
        return
    # a renamed key is missing on one side and unexpected on the other: those are the likeliest neighbours
    lines = [
        *_differences("missing", missing, unexpected or list(given)),
        *_differences("unexpected", unexpected, missing or list(wanted)),
        *_shorten(
            [f"shape of {name}: {tuple(given[name])}, expected {tuple(wanted[name])}" for name in wrong]
        ),
    ]
    counts = f"{len(missing)} missing, {len(unexpected)} unexpected, {len(wrong)} of another shape"
    raise CheckpointError(f"{where} does not fit its config: {counts}\n  " + "\n  ".join(lines))


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Make these very tensors the weights of ``network`` (it may be on the meta device), uncopied.

    Args:
        network: Receives the weights; a parameter keeps its ``requires_grad``.
        tensors: One for each name of ``network.state_dict()``.
        where: Named in the error, for example the file's path.

    Raises:
        CheckpointError: Names or shapes differ, or the network has state that no file holds.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_shapes(wanted, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, where=where)
    network.load_state_dict(tensors, strict=True, assign=True)
    unfilled = [name for name, tensor in _tensors_of(network) if tensor.device.type == "meta"]
    if unfilled:
        raise CheckpointError(
            f"{where}: {', '.join(unfilled[:_LISTED])} cannot come from a file: register such buffers as "
            "persistent or compute them when they are used"
        )


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of ``names``, or None if none comes close."""
    close = difflib.get_close_matches(name, list(names)[:_SEARCHED], n=1, cutoff=0.6)
    return close[0] if close else None


def _tensors_of(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [*network.named_parameters(), *network.named_buffers()]


def _differences(label: str, names: list[str], candidates: list[str]) -> list[str]:
    lines = []
    for name in names[:_LISTED]:
        close = nearest(name, candidates)
        lines.append(f"{label} {name}" + (f" (nearest: {close})" if close else ""))
    return _shorten(lines, total=len(names))


def _shorten(lines: list[str], total: int | None = None) -> list[str]:
    total = len(lines) if total is None else total
    rest = total - min(total, _LISTED)
    return [*lines[:_LISTED], *([f"... and {rest} more"] if rest else [])]
