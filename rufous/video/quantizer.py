"""How coarsely a file's frames were coded, as their own decoder tells it.

The quantiser says how much an encoder threw away, whatever the picture shows; pixels alone cannot tell a
plain picture from one that coding made plain. ITU-T P.1204.3 rates video by it too. It is that of the last
coding: a file that was coded twice tells nothing of the first time.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_DELTA_AT = 16
"""Bytes of a block before what it adds to the frame's parameter: its place and its size. Source: libavutil's
``AVVideoBlockParams``; PyAV itself reads one block at a time."""
_VP9_INDEX = (1, 95, 120, 150, 182, 210, 236, 255)
_VP9_STEP = (8, 102, 152, 255, 456, 771, 1267, 1828)
"""AC steps of eight indices, in eighths of a level (VP9 bitstream specification, table ``ac_qlookup``)."""


def ask_for_quantizers(stream: "VideoStream") -> None:
    """Ask the decoder of a stream that was just opened for the quantiser of each frame."""
    stream.codec_context.options = {**stream.codec_context.options, "export_side_data": "venc_params"}


def quantizer_step(frame: "VideoFrame") -> float | None:
    """Step of a frame's quantiser, in luma levels of 8 bits, at the mean parameter of its blocks.

    It is the distance of two values that an orthonormal transform's coefficient can take: in H.264 0.625
    levels at QP 0, and twice as much every six. H.264, VP9, MPEG-2 and MPEG-4 are told; FFmpeg's decoders of
    HEVC, AV1 and VP8 tell nothing.

    Returns:
        None where the decoder tells nothing, or was not asked.
    """
    from av.sidedata.encparams import VideoEncParamsType

    told = frame.side_data.get("VIDEO_ENC_PARAMS")
    if told is None:
        return None
    mean = float(told.qp)
    if told.nb_blocks:
        count = told.nb_blocks * told.block_size
        blocks = np.frombuffer(told, np.uint8, count=count, offset=told.blocks_offset)
        deltas = blocks.reshape(told.nb_blocks, -1)[:, _DELTA_AT : _DELTA_AT + 4]
        mean += float(np.ascontiguousarray(deltas).view(np.int32).mean())
    if told.codec_type == VideoEncParamsType.H264:  # deeper samples have a finer scale, and more parameters
        return float(0.625 * 2 ** (mean / 6) / 2 ** (frame.format.components[0].bits - 8))
    if told.codec_type == VideoEncParamsType.VP9:
        return float(np.interp(mean, _VP9_INDEX, _VP9_STEP)) / 8
    return mean if told.codec_type == VideoEncParamsType.MPEG2 else None
