"""Video files and frames: reading, writing, sampling; PyAV is imported when a file is opened.

* ``frames`` - uint8 <-> [-1, 1], resize, crop, sample indices, contact sheet.
* ``write`` - clips to MP4, MOV, MKV, WebM, GIF, WebP or PNG frames, with metadata and a manifest.
* ``read`` - what a file holds, and exactly the frames that were asked for.
* ``excerpt`` - a stretch of a file as a file of its own, copied or encoded anew.
* ``transitions`` - where one shot becomes the next: cuts, dissolves, fades.
* ``seek`` - the index behind exact reads: frame numbers to times and key frames.
* ``landmarks`` - key frames of codecs whose packets do not tell, and how a seek to one is checked.
* ``quantizer`` - how coarsely a frame was coded, as its decoder tells it.
* ``images`` - the formats that Pillow handles: animated WebP and numbered PNG frames.
"""

from rufous.video.frames import frames_from_video, from_uint8, to_uint8, video_from_frames
from rufous.video.read import VideoInfo, probe, read_video
from rufous.video.write import write_video

__all__ = [
    "VideoInfo",
    "frames_from_video",
    "from_uint8",
    "probe",
    "read_video",
    "to_uint8",
    "video_from_frames",
    "write_video",
]
