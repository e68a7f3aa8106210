"""Compare our buckets in published mode with Open-Sora's own code.

git clone --branch v1.2.0 https://github.com/hpcaitech/Open-Sora
python scripts/compare_open_sora_buckets.py Open-Sora
"""

import importlib
import logging
import sys
import types
from pathlib import Path

import numpy as np

from rufous.data.aspect import num_pixels, published_sizes
from rufous.data.buckets import BucketConfig, published_bucket
from rufous.data.open_sora_buckets import OPEN_SORA_STAGES

CLIPS_PER_STAGE = 2_000


def load(root: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """Its modules ``aspect`` and ``bucket`` alone; the package around them needs more than is installed."""
    for name in ("opensora", "opensora.utils", "opensora.utils.misc", "opensora.datasets"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["opensora.utils.misc"].get_logger = lambda: logging.getLogger("opensora")  # type: ignore[attr-defined]
    sys.modules["opensora.datasets"].__path__ = [str(root / "opensora" / "datasets")]
    aspect, bucket = (importlib.import_module(f"opensora.datasets.{name}") for name in ("aspect", "bucket"))
    return aspect, bucket


def main(root: Path) -> int:
    """Count the clips that go elsewhere."""
    aspect, bucket = load(root)
    for name, (pixels, sizes) in aspect.ASPECT_RATIOS.items():
        assert num_pixels(name) == pixels
        assert dict(published_sizes(name)) == {key: (int(h), int(w)) for key, (h, w) in sizes.items()}
    rng, num_clips, num_other = np.random.default_rng(0), 0, 0
    for table in OPEN_SORA_STAGES.values():
        theirs = bucket.Bucket({name: dict(lengths) for name, lengths in table.items()})
        for stride in (1, 3):
            ours = BucketConfig.from_published(table, mode="published", stride=stride)
            for _ in range(CLIPS_PER_STAGE):
                frames = int(rng.choice([1, 30, 51, 52, 102, 103, 205, 410, 900]))
                height, width = (int(side) for side in rng.integers(100, 2300, size=2))
                seed = int(rng.integers(10**6))
                found = published_bucket(frames, height, width, ours, seed=seed)
                key = theirs.get_bucket_id(frames, height, width, stride, seed)
                told = None if key is None else (key[0], *(int(each) for each in theirs.get_thw(key)))
                mine = found and (found.resolution, found.num_frames, found.height, found.width)
                num_clips, num_other = num_clips + 1, num_other + (told != mine)
    print(f"all {len(aspect.ASPECT_RATIOS)} tables are equal; of {num_clips} clips {num_other} go elsewhere")
    return int(num_other > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
