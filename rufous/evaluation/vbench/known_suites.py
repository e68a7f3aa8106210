"""Suites by name: VBench's own where it is installed, and one of the procedural world that needs nothing."""

import importlib.util
from pathlib import Path

from rufous.evaluation.vbench.suite import SuiteEntry, read_suite
from rufous.world.dataset import WorldClips

WORLD_SEED = 5_000_000
WORLD_PROMPTS = 50
_WORLD_ROWS = (
    *(
        "temporal_flickering",
        "subject_consistency",
        "background_consistency",
        "motion_smoothness",
        "dynamic_degree",
    ),
    *("aesthetic_quality", "imaging_quality", "overall_consistency"),
)
_FULL_INFO = "VBench_full_info.json"


def find_suite(name: str) -> list[SuiteEntry]:
    """A suite by its file, or ``vbench`` or ``world``.

    Raises:
        ValueError: No such suite; says where to get VBench's.
        OSError: The file cannot be read.
    """
    if Path(name).is_file():
        return read_suite(name)
    if name == "world":
        clips = WorldClips(seed=WORLD_SEED, split="any", complete_captions=True)
        prompts = dict.fromkeys(clips.scene(index)[1] for index in range(2 * WORLD_PROMPTS))
        return [SuiteEntry(prompt=p, dimensions=_WORLD_ROWS) for p in list(prompts)[:WORLD_PROMPTS]]
    if name != "vbench":
        raise ValueError(f"no suite {name!r}: give a file in VBench's layout, or 'vbench' or 'world'")
    found = next((path for path in _vbench_places() if path.is_file()), None)
    if found is None:
        places = " and ".join(map(str, _vbench_places()))
        raise ValueError(
            f"the suite of VBench is not here: looked for {places}; get vbench/{_FULL_INFO} from "
            "https://github.com/Vchitect/VBench and give it as --suite FILE"
        )
    return read_suite(found)


def _vbench_places() -> list[Path]:
    """In the installed package, which is not imported, and in the cache of weights."""
    package = importlib.util.find_spec("vbench")
    installed = (
        [] if package is None or package.origin is None else [Path(package.origin).parent / _FULL_INFO]
    )
    return [*installed, Path.home() / ".cache" / "vbench" / _FULL_INFO]
