"""The picture of a report in docs/curation.md, and the rows of its table of what ``probe`` says.

    python -m tests.data.report_figure FOLDER

Writes a folder of good, damaged and broken files, curates it, and takes a picture of the page with the
browser ``chromium``, which must be installed.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from rufous.data.clip import Clip
from rufous.data.manifest import read_manifest
from rufous.video.write import write_video
from rufous.world.damage import damaged
from rufous.world.dataset import WorldClips
from tests.data.real_input import CASES, can_write, write_case
from tests.data.sheets import Sheet

STEPS = "probe,shots,still,flashing,technical,smoothness,camera,fingerprint,duplicates"
FILTERS = ("technical>=10%", "flashing<=3", "still<=0.5", "smoothness>=5%", "camera_motion!=dolly_zoom")
WIDTH, HEIGHT = 860, 1248
"""Of the part of the page that is shown."""
SHOWN = (
    *("generated/h264_10bit.mkv", "generated/h264_rotated.mp4", "generated/h264_variable.mkv"),
    *("generated/vp9.webm", "generated/mpeg4.avi"),
    *("broken/empty.mp4", "broken/cut_off.mp4", "broken/noise.mp4"),
)


def write_mixed(folder: Path) -> None:
    """Generated files of many kinds, world clips, some of them blurred or flashing, and broken files."""
    for name in ("generated", "world", "broken"):
        (folder / name).mkdir(parents=True)
    for case in filter(can_write, CASES):
        write_case(case, folder / "generated")
    world, rng = WorldClips(seed=31, height=96, width=96, num_frames=24, fps=12.0), np.random.default_rng(5)
    for index in range(12):
        write_video(folder / "world" / f"{index}.mp4", world[index].frames, fps=12)
    for index, kind in enumerate(("blur", "flashing", "dolly_zoom") * 2):
        frames = damaged(kind, world.scene(20 + index)[0], rng, num_frames=24, size=96, fps=12.0)
        write_video(folder / "world" / f"{kind}_{index}.mp4", frames, fps=12)
    shutil.copy(folder / "world" / "0.mp4", folder / "world" / "copy.mp4")
    broken = folder / "broken"
    (broken / "empty.mp4").touch()
    (broken / "folder.mp4").mkdir()
    whole = (folder / "generated" / "h264.mp4").read_bytes()
    (broken / "cut_off.mp4").write_bytes(whole[: len(whole) // 2])
    (broken / "noise.mp4").write_bytes(rng.bytes(20_000))
    (broken / "gone.mp4").symlink_to("nowhere.mp4")


def curated(folder: Path, output: Path) -> None:
    """What the command makes of it, one worker at a time."""
    asked = ["curate", str(folder), "-o", str(output), "--stages", STEPS, "--jobs", "1", "--no-shards"]
    for each in FILTERS:
        asked += ["--filter", each]
    done = subprocess.run([sys.executable, "-m", "rufous", *asked], check=False)
    if done.returncode != 1:  # the broken files
        raise RuntimeError(f"rufous curate gave {done.returncode}")


def row_of(clip: Clip) -> str:
    """One row of the table in docs/curation.md."""
    info = clip.info
    if "width" not in info:
        return f"| `{clip.source}` | - | - | - | - | {clip.dropped} |"
    rate = f"{info['fps']:.4g}{', varies' if info['is_variable_fps'] else ''}"
    size = f"{info['width']}x{info['height']}{', turned' if info['rotation'] else ''}"
    kind = f"{info['codec']}, {info['pixel_format']}"
    sound = "yes" if info["has_audio"] else "no"
    return f"| `{clip.source}` | {kind} | {size} | {info['file_num_frames']} at {rate} | {sound} | - |"


def photographed(page: Path, picture: Path) -> None:
    """The top of a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("no browser: install chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}"]
    subprocess.run([browser, *options, page.absolute().as_uri()], check=True, capture_output=True)


def main() -> None:
    """Everything, below a folder that is made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    write_mixed(folder / "mixed")
    curated(folder / "mixed", folder / "curated")
    by_source = {clip.source: clip for clip in read_manifest(folder / "curated" / "manifest.parquet")}
    for source in SHOWN:
        if source in by_source:
            print(row_of(by_source[source]))
    photographed(folder / "curated" / "report.html", folder / "report.png")
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.image.paste(Image.open(folder / "report.png").convert("RGB"))
    sheet.save("curation-report.png", colors=256)


if __name__ == "__main__":
    main()
