"""Every stage by its name: one line of ``STAGES`` adds one."""

from rufous.data.stage import SetStage, Stage
from rufous.data.stages.aesthetic import Aesthetic
from rufous.data.stages.borders import Borders
from rufous.data.stages.camera import Camera
from rufous.data.stages.cut import Cut
from rufous.data.stages.describe import Describe, DescribeLocally
from rufous.data.stages.dover import Dover
from rufous.data.stages.duplicates import Duplicates
from rufous.data.stages.fingerprint import Fingerprint
from rufous.data.stages.flashing import Flashing
from rufous.data.stages.flow import Flow, RaftFlow
from rufous.data.stages.match import Match
from rufous.data.stages.probe import Probe
from rufous.data.stages.rewrite import Rewrite, RewriteLocally
from rufous.data.stages.shots import Shots
from rufous.data.stages.smoothness import AmtSmoothness, Smoothness
from rufous.data.stages.still import Still
from rufous.data.stages.technical import Technical
from rufous.data.stages.text_area import TextArea
from rufous.data.stages.video_match import VideoMatch
from rufous.data.stages.watermark import Watermark

STAGES: dict[str, type[Stage] | type[SetStage]] = {
    Probe.name: Probe,
    Shots.name: Shots,
    Cut.name: Cut,
    Borders.name: Borders,
    Still.name: Still,
    Flashing.name: Flashing,
    Technical.name: Technical,
    Dover.name: Dover,
    Aesthetic.name: Aesthetic,
    Flow.name: Flow,
    RaftFlow.name: RaftFlow,
    Smoothness.name: Smoothness,
    AmtSmoothness.name: AmtSmoothness,
    Camera.name: Camera,
    Watermark.name: Watermark,
    TextArea.name: TextArea,
    Fingerprint.name: Fingerprint,
    Duplicates.name: Duplicates,
    Describe.name: Describe,
    DescribeLocally.name: DescribeLocally,
    Rewrite.name: Rewrite,
    RewriteLocally.name: RewriteLocally,
    Match.name: Match,
    VideoMatch.name: VideoMatch,
}
"""What presets and the command line choose from; each is made with its default settings."""
