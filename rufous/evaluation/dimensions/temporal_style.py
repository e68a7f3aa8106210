"""How well a clip shows the style of motion that the prompt asks for."""

from dataclasses import dataclass
from typing import ClassVar

from rufous.evaluation.dimensions.consistency import EmbedText
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label
from rufous.evaluation.dimensions.video_text import EmbedVideo, video_text_score


@dataclass(frozen=True, kw_only=True)
class TemporalStyle:
    """Cosine of ViCLIP-L/14 between eight frames and the prompt, about 0 to 0.36."""

    embed_video: EmbedVideo
    embed_text: EmbedText
    name: str = "temporal_style"
    label: Label = "parity-random"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        """Score a clip that has a prompt."""
        return video_text_score(clip, self.embed_video, self.embed_text)
