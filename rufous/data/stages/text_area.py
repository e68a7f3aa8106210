"""How much of the picture is text: subtitles, titles, banners.

PP-OCR finds boxes and reads them, as RapidOCR ships it; what it cannot read as letters is no text, for its
detector takes blotches and plain shapes for lines. Frames without any thin strokes are not shown to it.

Source: RapidOCR (PP-OCRv6 small), Liao et al. 2020 (arXiv:1911.08947) for the detector.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.stage import Gives

STROKE_PX = 9
"""What is wider than so many pixels, both at full and at a quarter of the size, is no stroke of a letter."""
MIN_CONTRAST = 20
"""Levels of luma between a stroke and what is around it."""
MIN_LETTERS = 2
BOX_MARGIN = 0.3
"""Of a box's height: so much higher and wider are the detector's boxes than letters with their outline."""


@dataclass(frozen=True, kw_only=True)
class TextArea:
    """Score ``text_area``: the share of the picture inside boxes of text, in the frame with most of it."""

    num_frames: int = 2
    """Looked at, of the frames at full size; evenly spread."""
    side: int = 320
    """Frames with a longer shorter side are shrunk to it, in pixels: the cost goes with its square."""
    min_confidence: float = 0.6
    """Of what is read in a box; boxes with less do not count."""
    min_strokes: float = 0.006
    """Frames with a smaller share of thin strokes are not shown to the detector; 0 shows them all."""

    name: ClassVar[str] = "text_area"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    reads_few: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives(numbers=("text_area",))

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with the score, in [0, 1].

        Raises:
            MissingDependencyError: RapidOCR, its runtime or OpenCV is not installed.
        """
        frames = clip.frames().full
        count = min(self.num_frames, len(frames))
        chosen = [frames[int((i + 0.5) * len(frames) / count)] for i in range(count)]
        return [clip.with_scores(text_area=max(map(self.share, chosen)))]

    def share(self, frame: np.ndarray) -> float:
        """Share of one frame, RGB, uint8, ``h w 3``."""
        cv2 = require("cv2", extra="curate")
        scale = self.side / min(frame.shape[:2])
        if scale < 1:
            frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if strokes(frame) < self.min_strokes:
            return 0.0
        found = _reader()(np.ascontiguousarray(frame[..., ::-1]))
        if found.boxes is None:
            return 0.0
        mask = np.zeros(frame.shape[:2], dtype=np.uint8)
        for box, letters, confidence in zip(found.boxes, found.txts, found.scores, strict=True):
            if confidence >= self.min_confidence and len(letters.strip()) >= MIN_LETTERS:
                middle, size, angle = cv2.minAreaRect(np.asarray(box, dtype=np.float32))
                margin = BOX_MARGIN * min(size)
                inner = cv2.boxPoints((middle, (size[0] - margin, size[1] - margin), angle))
                cv2.fillPoly(mask, [np.rint(inner).astype(np.int32)], 1)
        return float(mask.mean())


def strokes(frame: np.ndarray) -> float:
    """Share of a frame, RGB, uint8, ``h w 3``, that is brighter or darker than all that is a little way off.

    The larger of the shares at full and at a quarter of the size, so that large letters count too.
    """
    cv2 = require("cv2", extra="curate")
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((STROKE_PX, STROKE_PX), dtype=np.uint8)
    shares = list[float]()
    for factor in (1.0, 0.25):
        picture = cv2.resize(luma, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        bright = cv2.morphologyEx(picture, cv2.MORPH_TOPHAT, kernel)
        dark = cv2.morphologyEx(picture, cv2.MORPH_BLACKHAT, kernel)
        shares.append(float((np.maximum(bright, dark) > MIN_CONTRAST).mean()))
    return max(shares)


@lru_cache(maxsize=1)
def _reader() -> Any:
    """RapidOCR on one thread, for as many processes as cores run beside it."""
    require("onnxruntime", extra="curate")
    engine = "EngineConfig.onnxruntime"
    return require("rapidocr", extra="curate").RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,
            "Global.text_score": 0.0,
            "Det.limit_type": "min",
            "Det.limit_side_len": 32,  # shrunk before; its default would enlarge every frame to 736 pixels
            f"{engine}.intra_op_num_threads": 1,
            f"{engine}.inter_op_num_threads": 1,
        }
    )
