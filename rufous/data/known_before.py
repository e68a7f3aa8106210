"""What clips bring into a run from a list or manifest: kept, but for what a stage of the run finds anew."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rufous.data.clip import Clip
from rufous.data.filters import AnyFilter, Filter, value_of
from rufous.data.stage import Declares, SetStage, Stage
from rufous.data.stages.probe import Probe


def with_known(clip: Clip, stages: Sequence[Stage | SetStage]) -> Clip:
    """A clip as a run begins with it.

    What a stage of the run declares to find is forgotten: where it fails, no older value is taken for its
    own. The rest stays, and is told in ``Clip.brought``, so that the journal keeps the results of a stage for
    this clip apart from those of a bare one, of which it notes only what they changed.
    """
    numbers = {name for stage in stages if isinstance(stage, Declares) for name in stage.gives.numbers}
    tags = {name for stage in stages if isinstance(stage, Declares) for name in stage.gives.tags}
    is_probed = any(isinstance(stage, Probe) for stage in stages)
    clip = replace(
        clip,
        content_id="" if is_probed else clip.content_id,
        info={name: value for name, value in clip.info.items() if name not in numbers},
        scores={name: value for name, value in clip.scores.items() if name not in numbers},
        tags={name: value for name, value in clip.tags.items() if name not in tags},
    )
    return replace(clip, brought=_told(clip))


def is_brought(filter_: AnyFilter, clips: Iterable[Clip]) -> bool:
    """Whether any clip has what a filter looks at."""
    if isinstance(filter_, Filter):
        return any(value_of(clip, filter_.value) is not None for clip in clips)
    return any(filter_.value in clip.tags for clip in clips)


def _told(clip: Clip) -> str:
    """A hash of what is known of a clip besides its place and original caption; empty if nothing is."""
    captions = {kind: text for kind, text in clip.captions.items() if kind != "original"}
    known = [dict(clip.info), dict(clip.scores), dict(clip.tags), captions]
    if not any(known):
        return ""
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
