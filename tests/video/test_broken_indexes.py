"""Files whose tables of where things lie are broken: all frames as they were, or one clear error."""

import random
import re
import struct

import numpy as np
import pytest

from rufous.video.read import read_frames, read_video, timeline_of

_IDX1_ENTRY = 16
"""Bytes: four characters, flags, offset, size."""
_CUES = b"\x1c\x53\xbb\x6b"


def noise(data: bytearray, start: int, count: int) -> None:
    data[start : start + count] = random.Random(start).randbytes(count)


def noisy_stco(data: bytearray) -> None:
    noise(data, data.index(b"stco") + 12, 16)


def far_stco(data: bytearray) -> None:
    struct.pack_into(">I", data, data.index(b"stco") + 12, 2**31 - 5)


def halved_stsz(data: bytearray) -> None:
    at = data.index(b"stsz") + 12
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] // 2)


def no_idx1(data: bytearray) -> None:
    del data[data.rindex(b"idx1") :]


def renamed_idx1(data: bytearray) -> None:
    at = data.rindex(b"idx1")
    data[at : at + 4] = b"JUNK"


def noisy_idx1(data: bytearray) -> None:
    at = data.rindex(b"idx1") + 8
    noise(data, at, len(data) - at)


def shifted_idx1(data: bytearray) -> None:
    for at in range(data.rindex(b"idx1") + 8, len(data) - _IDX1_ENTRY + 1, _IDX1_ENTRY):
        struct.pack_into("<I", data, at + 8, struct.unpack_from("<I", data, at + 8)[0] + 7)


def idx1_of_keys_alone(data: bytearray) -> None:
    for at in range(data.rindex(b"idx1") + 8, len(data) - _IDX1_ENTRY + 1, _IDX1_ENTRY):
        data[at + 4] |= 0x10


def noisy_cues(data: bytearray) -> None:
    noise(data, data.rindex(_CUES) + 12, 30)


def noise_for_cues(data: bytearray) -> None:
    noise(data, data.rindex(_CUES), 60)


def false_cues(data: bytearray) -> None:
    for at in range(data.rindex(_CUES) + 10, len(data) - 3):
        if data[at] == 0xF1:  # CueClusterPosition
            data[at + 2] ^= 0x15


AVI = (no_idx1, renamed_idx1, noisy_idx1, shifted_idx1, idx1_of_keys_alone)
MKV = (noisy_cues, noise_for_cues, false_cues)


def harmed(path, harm):
    data = bytearray(path.read_bytes())
    harm(data)
    assert data != path.read_bytes()
    broken = path.with_name(f"broken{path.suffix}")
    broken.write_bytes(data)
    return broken


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("harm", [noisy_stco, far_stco, halved_stsz], ids=lambda harm: harm.__name__)
def test_an_mp4_that_does_not_find_its_frames_says_how_many_are_there(codec, harm, encode):
    path = harmed(encode("a.mp4", codec, options={"g": "8"}), harm)
    found = 20 if harm is halved_stsz else 0
    with pytest.raises(ValueError, match=re.escape(f"broken.mp4: truncated: {found} of its 40 frames")):
        read_video(path)


@pytest.mark.parametrize(
    ("name", "codec", "harm"),
    [
        *(("a.avi", codec, harm) for codec in ("libx264", "mpeg4") for harm in AVI),
        *(("a.mkv", codec, harm) for codec in ("libx264", "mpeg4") for harm in MKV),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_files_that_can_be_read_in_order_give_all_frames(name, codec, harm, encode, decode_all):
    path = encode(name, codec, options={"g": "8", "bf": "2"})
    whole = decode_all(path)
    timeline = timeline_of(harmed(path, harm))
    assert len(timeline.index.pts) == len(whole) == 40
    for wanted in (list(range(40)), [3, 22, 36]):
        frames, _ = read_frames(timeline, wanted)
        assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), whole[wanted])


def test_b_frames_of_an_avi_come_in_the_order_in_which_they_are_shown(encode, decode_all):
    """AVI stores no times: FFmpeg gives those of decoding, which are others."""
    path = encode("a.avi", "libx264", options={"bf": "3", "x264-params": "b-adapt=0"})
    frames, times = read_video(path)
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), decode_all(path))
    assert times.tolist() == pytest.approx([i / 24 for i in range(40)])
