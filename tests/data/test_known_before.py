"""What clips bring into a run."""

from rufous.data.clip import Clip
from rufous.data.filters import Filter, TagFilter
from rufous.data.known_before import is_brought, with_known
from rufous.data.stages.flow import Flow
from rufous.data.stages.probe import Probe

CLIP = Clip(
    source="a.mp4",
    content_id="abc",
    info={"width": 320, "duplicates_of": "b"},
    scores={"flow": 1.0, "flow_raft": 2.0},
    tags={"camera_motion": "static"},
    captions={"original": "A", "described": "B"},
)


def test_what_a_stage_finds_anew_is_forgotten_and_the_rest_stays():
    known = with_known(CLIP, [Probe(), Flow()])
    assert (dict(known.scores), dict(known.info)) == ({"flow_raft": 2.0}, {"duplicates_of": "b"})
    assert (known.tags, known.captions, known.content_id) == (CLIP.tags, CLIP.captions, "")
    assert with_known(CLIP, [Flow()]).content_id == "abc"


def test_clips_that_bring_other_things_are_told_apart():
    bare = Clip(source="a.mp4", captions={"original": "A"})
    assert with_known(bare, [Flow()]).brought == ""
    assert with_known(bare.with_scores(flow=1.0), [Flow()]).brought == ""
    told = {with_known(clip, [Flow()]).brought for clip in (CLIP, bare.with_scores(match=1.0), bare)}
    assert len(told) == 3


def test_filters_know_whether_clips_bring_their_value():
    assert is_brought(Filter(value="flow", min=1.0), [Clip(source="b.mp4"), CLIP])
    assert is_brought(TagFilter(value="camera_motion", refused=("roll",)), [CLIP])
    assert not is_brought(Filter(value="match", min=1.0), [CLIP])
    assert not is_brought(TagFilter(value="flow", refused=("x",)), [CLIP])
