"""Sizes of frames: how many pixels a resolution means, and which height and width an aspect gives it.

Aspects are written ``H:W``, height first, as in Open-Sora: **"9:16" is landscape**, 16 wide and 9 high. Every
number here is height over width too, so "9:16" is 0.5625.

Ours are multiples of what the autoencoder and the patches need, so that no latent is cropped and no patch is
filled up: 117 of the 136 sizes that Open-Sora 1.2 lists for video are none of 16. Those tables are here as
well, for runs that must have them.

Source: opensora/datasets/aspect.py of hpcaitech/Open-Sora at v1.2.0.
"""

import math
import re
from collections.abc import Mapping
from functools import cache

Size = tuple[int, int]
"""Height and width in pixels."""

NOMINAL_PIXELS: Mapping[str, int] = {
    "144p": 36_864,
    "256": 65_536,
    "240p": 102_240,
    "360p": 230_400,
    "512": 262_144,
    "480p": 409_920,
    "720p": 921_600,
    "1024": 1_048_576,
    "1080p": 2_073_600,
    "2k": 3_686_400,
    "2048": 4_194_304,
    "2880": 8_294_400,
    "4k": 8_294_400,
}
"""Pixels of a frame by the name of the resolution."""

LANDSCAPE = ("3:8", "9:21", "12:25", "1:2", "9:17", "9:16", "5:8", "2:3", "3:4")
ASPECTS = (*LANDSCAPE, "1:1", *(":".join(reversed(each.split(":"))) for each in reversed(LANDSCAPE)))
"""Open-Sora's landscape aspects without 27:50, which lies 4 % from its neighbour; the square; and each of
them turned upright, of which Open-Sora has six."""

_P_KEYS = "0.38 0.43 0.48 0.50 0.53 0.54 0.56 0.62 0.67 0.75 1.00 1.33 1.50 1.78 1.89 2.00 2.08"
_P_SIZES = {
    "144p": "117x312 125x291 133x277 135x270 139x262 141x260 144x256 151x241 156x234 166x221 192x192 221x165 "
    "235x156 256x144 263x139 271x135 277x132",
    "240p": "196x522 210x490 222x462 226x452 232x438 236x436 240x426 252x404 262x393 276x368 320x320 370x278 "
    "392x262 426x240 440x232 452x226 462x222",
    "360p": "294x784 314x732 332x692 340x680 350x662 352x652 360x640 380x608 392x588 416x554 480x480 554x416 "
    "588x392 640x360 660x350 678x340 692x332",
    "480p": "392x1046 420x980 444x925 452x904 466x880 470x870 480x854 506x810 522x784 554x738 640x640 "
    "740x555 784x522 854x480 880x466 906x454 924x444",
    "720p": "588x1568 628x1466 666x1388 678x1356 698x1318 706x1306 720x1280 758x1212 784x1176 832x1110 "
    "960x960 1108x832 1176x784 1280x720 1320x698 1358x680 1386x666",
    "1080p": "882x2352 942x2198 998x2080 1018x2036 1048x1980 1058x1958 1080x1920 1138x1820 1176x1764 "
    "1248x1664 1440x1440 1662x1246 1764x1176 1920x1080 1980x1048 2036x1018 2078x998",
    "2k": "1176x3136 1256x2930 1330x2770 1358x2716 1398x2640 1412x2612 1440x2560 1518x2428 1568x2352 "
    "1662x2216 1920x1920 2218x1664 2352x1568 2560x1440 2638x1396 2716x1358 2772x1330",
    "4k": "1764x4704 1886x4400 1996x4158 2036x4072 2096x3960 2118x3918 2160x3840 2276x3642 2352x3528 "
    "2494x3326 2880x2880 3326x2494 3528x2352 3840x2160 3958x2096 4072x2036 4156x1994",
}
_PIXART_KEYS = (
    "0.25 0.26 0.27 0.28 0.32 0.33 0.35 0.4 0.42 0.48 0.5 0.52 0.57 0.6 0.68 0.72 0.78 0.82 0.88 0.94 1.0 "
    "1.07 1.13 1.21 1.29 1.38 1.46 1.67 1.75 2.0 2.09 2.4 2.5 2.89 3.0 3.11 3.62 3.75 3.88 4.0"
)
_PIXART_256 = (
    "128x512 128x496 128x480 128x464 144x448 144x432 144x416 160x400 160x384 176x368 176x352 176x336 192x336 "
    "192x320 208x304 208x288 224x288 224x272 240x272 240x256 256x256 256x240 272x240 272x224 288x224 288x208 "
    "304x208 320x192 336x192 352x176 368x176 384x160 400x160 416x144 432x144 448x144 464x128 480x128 496x128 "
    "512x128"
)
_PIXART_TIMES = {"256": 1, "512": 2, "1024": 4, "2048": 8}
_2880_KEYS = (
    "0.25 0.26 0.27 0.28 0.32 0.33 0.34 0.4 0.42 0.47 0.49 0.51 0.55 0.59 0.68 0.72 0.78 0.83 0.89 0.93 1.0 "
    "1.07 1.12 1.21 1.28 1.39 1.47 1.7 1.82 2.03 2.13 2.39 2.5 2.92 3.0 3.12 3.68 3.82 3.95 4.0"
)
_2880_SIZES = (
    "1408x5760 1408x5568 1408x5376 1408x5184 1600x4992 1600x4800 1600x4672 1792x4480 1792x4288 1920x4096 "
    "1920x3904 1920x3776 2112x3840 2112x3584 2304x3392 2304x3200 2496x3200 2496x3008 2688x3008 2688x2880 "
    "2880x2880 2880x2688 3008x2688 3008x2496 3200x2496 3200x2304 3392x2304 3584x2112 3840x2112 3904x1920 "
    "4096x1920 4288x1792 4480x1792 4672x1600 4800x1600 4992x1600 5184x1408 5376x1408 5568x1408 5760x1408"
)


def num_pixels(resolution: str) -> int:
    """Pixels of a frame: of a named resolution, or of ``HxW``, such as ``64x64``.

    Raises:
        ValueError: Neither.
    """
    if resolution in NOMINAL_PIXELS:
        return NOMINAL_PIXELS[resolution]
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", resolution)
    if found is None:
        raise ValueError(
            f"resolution={resolution!r} is unknown: use {', '.join(NOMINAL_PIXELS)}, "
            "or height x width, such as 64x64"
        )
    return int(found[1]) * int(found[2])


def height_over_width(aspect: str) -> float:
    """``"9:16"`` (landscape) is 0.5625.

    Raises:
        ValueError: It is not written ``H:W``.
    """
    found = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", aspect)
    if found is None:
        raise ValueError(f"aspect={aspect!r} is none: write height:width, such as 9:16 for landscape")
    return int(found[1]) / int(found[2])


def exact_size(pixels: int, aspect: float, multiple: int) -> Size:
    """Height and width for so many pixels and an aspect, each the nearest multiple of ``multiple`` by ratio.

    Args:
        pixels: Wanted product.
        aspect: Wanted height over width.
        multiple: What the autoencoder shrinks by, times the patch.

    Raises:
        ValueError: A side would be less than half of ``multiple``.
    """
    sides = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
    if min(sides) < multiple / 2:
        raise ValueError(
            f"{pixels} pixels at height/width {aspect:.3g} have no sides that are multiples of {multiple}: "
            "use a larger resolution or fewer aspects"
        )
    return _nearest_multiple(sides[0], multiple), _nearest_multiple(sides[1], multiple)


def _nearest_multiple(side: float, multiple: int) -> int:
    below = max(1, math.floor(side / multiple)) * multiple
    return min((below, below + multiple), key=lambda each: abs(math.log(each / side)))


@cache
def exact_sizes(resolution: str, aspects: tuple[str, ...], multiple: int) -> tuple[Size, ...]:
    """The sizes of a resolution, widest first; aspects that round to one size are one.

    Raises:
        ValueError: An unknown resolution or aspect, or a resolution too small for an aspect.
    """
    pixels = num_pixels(resolution)
    sizes = {exact_size(pixels, height_over_width(each), multiple) for each in aspects}
    return tuple(sorted(sizes, key=lambda size: (size[0] / size[1], size)))


@cache
def published_sizes(resolution: str) -> Mapping[str, Size]:
    """Open-Sora 1.2's sizes of a resolution, by its rounded name of height over width.

    ``"2.08"`` is called 50:27 there and is 25:12.

    Raises:
        ValueError: It has no such resolution.
    """
    if resolution in _P_SIZES:
        return _table(_P_KEYS, _P_SIZES[resolution])
    if resolution in _PIXART_TIMES:
        return _table(_PIXART_KEYS, _PIXART_256, _PIXART_TIMES[resolution])
    if resolution == "2880":
        return _table(_2880_KEYS, _2880_SIZES)
    raise ValueError(f"Open-Sora has no resolution {resolution!r}: it has {', '.join(NOMINAL_PIXELS)}")


def published_nearest(height: int, width: int, sizes: Mapping[str, Size]) -> str:
    """The name nearest to ``height / width`` in plain difference, as Open-Sora has it.

    Turned upright, a clip can so come to another aspect: 1/1.15 goes to 3:4 and 1.15 to 1:1.
    """
    return min(sizes, key=lambda name: abs(float(name) - height / width))


def _table(keys: str, sizes: str, times: int = 1) -> dict[str, Size]:
    pairs = [tuple(int(side) * times for side in each.split("x")) for each in sizes.split()]
    return {key: (height, width) for key, (height, width) in zip(keys.split(), pairs, strict=True)}
