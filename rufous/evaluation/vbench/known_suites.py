"""Suites by name: VBench's own where it is installed, and one of the procedural world that needs nothing."""

import importlib.util
from pathlib import Path

from rufous.checkpoints.vbench import vbench_cache
from rufous.evaluation.vbench.suite import UNFILTERED, SuiteEntry, read_suite
from rufous.world.dataset import WorldClips

WORLD_SEED = 5_000_000
WORLD_PROMPTS = 50
_WORLD_ROWS = (
    UNFILTERED,
    "subject_consistency",
    "background_consistency",
    "aesthetic_quality",
    "imaging_quality",
    "overall_consistency",
)
"""Without those that need flow or interpolation, whose networks cannot read 64 pixels. The clips move, so
none would be left for temporal_flickering."""
_FULL_INFO = "VBench_full_info.json"


def find_suite(name: str) -> list[SuiteEntry]:
    """A suite by its file, or ``vbench`` or ``world``.

    Raises:
        ValueError: No such suite; says where to get VBench's.
        OSError: The file cannot be read.
    """
    file = suite_file(name)
    if file is not None:
        return read_suite(file)
    clips = WorldClips(seed=WORLD_SEED, split="any", complete_captions=True)
    prompts = dict.fromkeys(clips.scene(index)[1] for index in range(2 * WORLD_PROMPTS))
    return [SuiteEntry(prompt=p, dimensions=_WORLD_ROWS) for p in list(prompts)[:WORLD_PROMPTS]]


def suite_file(name: str) -> Path | None:
    """The file of a suite; None for ``world``, which is made. Errors as ``find_suite``."""
    if Path(name).is_file():
        return Path(name)
    if name == "world":
        return None
    if name != "vbench":
        raise ValueError(f"no suite {name!r}: give a file in VBench's layout, or 'vbench' or 'world'")
    found = next((path for path in _vbench_places() if path.is_file()), None)
    if found is None:
        places = " and ".join(map(str, _vbench_places()))
        raise ValueError(
            f"the suite of VBench is not here: looked for {places}; get vbench/{_FULL_INFO} from "
            "https://github.com/Vchitect/VBench and give it as --suite FILE"
        )
    return found


def _vbench_places() -> list[Path]:
    """In the installed package, which is not imported, and in the cache of weights."""
    package = importlib.util.find_spec("vbench")
    installed = (
        [] if package is None or package.origin is None else [Path(package.origin).parent / _FULL_INFO]
    )
    return [*installed, vbench_cache() / _FULL_INFO]
