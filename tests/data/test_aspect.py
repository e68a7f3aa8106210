import math

import pytest

from rufous.data.aspect import (
    ASPECTS,
    NOMINAL_PIXELS,
    exact_size,
    exact_sizes,
    height_over_width,
    num_pixels,
    published_nearest,
    published_sizes,
)


def test_height_comes_first_so_9_16_is_landscape():
    assert height_over_width("9:16") == 0.5625
    height, width = exact_size(num_pixels("720p"), height_over_width("9:16"), 16)
    assert (height, width) == (720, 1280)


@pytest.mark.parametrize("resolution", NOMINAL_PIXELS)
def test_sizes_are_multiples_near_the_nominal_pixels_and_aspect(resolution):
    for aspect in ASPECTS:
        height, width = exact_size(num_pixels(resolution), height_over_width(aspect), 16)
        assert height % 16 == width % 16 == 0
        assert abs(math.log(height * width / num_pixels(resolution))) < 0.09
        assert abs(math.log(height / width / height_over_width(aspect))) < 0.12


def test_every_landscape_size_has_its_upright_one():
    sizes = exact_sizes("240p", ASPECTS, 16)
    assert {(width, height) for height, width in sizes} == set(sizes)
    assert len(sizes) == len(set(sizes)) <= len(ASPECTS)


def test_a_resolution_may_be_a_size():
    assert exact_sizes("64x64", ("1:1",), 8) == ((64, 64),)


def test_published_tables_are_whole_and_117_of_136_video_sizes_are_no_multiples_of_16():
    video = [
        size
        for name in ("144p", "240p", "360p", "480p", "720p", "1080p", "2k", "4k")
        for size in published_sizes(name).values()
    ]
    assert len(video) == 136
    assert sum(height % 16 > 0 or width % 16 > 0 for height, width in video) == 117
    assert published_sizes("720p")["0.56"] == (720, 1280)
    assert published_sizes("2048")["0.28"] == (1024, 3712)
    assert all(len(published_sizes(name)) == 40 for name in ("256", "512", "1024", "2048", "2880"))


def test_published_nearest_treats_upright_and_landscape_differently():
    sizes = published_sizes("480p")
    assert published_nearest(100, 115, sizes) == "0.75"
    assert published_nearest(115, 100, sizes) == "1.00"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: num_pixels("333p"), "resolution='333p' is unknown"),
        (lambda: height_over_width("1.78"), "write height:width"),
        (lambda: exact_size(64, 1.0, 32), "no sides that are multiples of 32"),
        (lambda: published_sizes("64x64"), "Open-Sora has no resolution"),
    ],
)
def test_what_is_no_size_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
