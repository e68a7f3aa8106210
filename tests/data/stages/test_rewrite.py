"""Re-captioning by an endpoint (a real server on this machine) and by a tiny local model."""

import pytest

from rufous.core.errors import CheckpointError
from rufous.data.caption_check import CaptionLimits
from rufous.data.clip import Clip
from rufous.data.endpoint import Endpoint
from rufous.data.stages.rewrite import REWRITE_PROMPT, Rewrite, RewriteLocally
from tests.data.chat_server import chat_server, fails
from tests.perception.tiny_hub_models import write_language_model

ORIGINAL = "Red fox  running, snow, 4K stock footage"
DESCRIBED = "A red fox is running through deep snow between two trees."
GOOD = "A red fox is running through deep snow between two trees."
INVENTED = "A red fox is running through deep snow after a white rabbit."
CLIP = Clip(source="a.mp4", captions={"original": ORIGINAL, "described": DESCRIBED})
LIMITS = CaptionLimits(min_kept=0.3)


def rewrite(server, tmp_path, **settings):
    endpoint = Endpoint(
        model="tiny", url=server.url, first_wait_s=0.01, max_tries=2, answers=str(tmp_path / "answers.sqlite")
    )
    return Rewrite(endpoint=endpoint, limits=LIMITS, **settings)


def test_a_good_caption_lands_beside_the_others(tmp_path):
    with chat_server(GOOD) as server:
        (clip,) = rewrite(server, tmp_path).process(CLIP)
    assert clip.captions == {"original": ORIGINAL, "described": DESCRIBED, "rewritten": GOOD}
    assert clip.tags == {"rewrite": "done"}
    given = f"Text 1: {' '.join(ORIGINAL.split())}\nText 2: {DESCRIBED}"
    assert server.texts() == [REWRITE_PROMPT, given]


def test_an_invention_is_sent_back_with_what_is_wrong(tmp_path):
    with chat_server(INVENTED, GOOD) as server:
        (clip,) = rewrite(server, tmp_path).process(CLIP)
    assert clip.captions["rewritten"] == GOOD
    assert "things of no source: rabbit" in server.texts()[3]
    assert "colors of no source: white" in server.texts()[3]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (INVENTED, "rabbit"),
        ("I cannot assist with that request, I am afraid.", "it refuses"),
        ("Here is your caption: a red fox in deep snow.", "it chats"),
        ("A fox stands between three trees.", "numbers of no source: 3"),
        ("Ein roter Fuchs ist im Schnee und die Sonne ist nicht zu sehen.", "not English"),
    ],
)
def test_after_two_bad_answers_the_captions_stay_as_they_were(reply, reason, tmp_path):
    with chat_server(reply) as server:
        (clip,) = rewrite(server, tmp_path).process(CLIP)
    assert clip.captions == CLIP.captions
    assert clip.tags["rewrite"].startswith("kept: ")
    assert reason in clip.tags["rewrite"]
    assert len(server.asked) == 2


def test_an_endpoint_that_fails_is_an_error_and_nothing_is_lost(tmp_path):
    with chat_server(fails(500)) as server, pytest.raises(OSError, match="answers 500"):
        rewrite(server, tmp_path).process(CLIP)
    assert CLIP.captions == {"original": ORIGINAL, "described": DESCRIBED}


def test_one_caption_is_enough_and_none_is_not(tmp_path):
    with chat_server("A red fox is running in the snow.") as server:
        stage = rewrite(server, tmp_path)
        (clip,) = stage.process(Clip(source="a.mp4", captions={"original": ORIGINAL}))
        assert clip.captions["rewritten"] == "A red fox is running in the snow."
        assert server.texts()[1] == f"Text 1: {' '.join(ORIGINAL.split())}"
        with pytest.raises(ValueError, match="has no caption to rewrite"):
            stage.process(Clip(source="a.mp4"))


def test_a_local_model_is_checked_as_well(tmp_path):
    stage = RewriteLocally(
        model=str(write_language_model(tmp_path)), max_new_tokens=6, device="cpu", dtype="fp32"
    )
    assert stage.missing() is None
    (clip,) = stage.process(CLIP)
    assert clip.captions == CLIP.captions  # random weights write nothing that passes
    assert clip.tags["rewrite"].startswith("kept: ")


def test_what_is_missing_is_told_before_a_run(tmp_path):
    assert "has no model: set endpoint.model" in (Rewrite().missing() or "")
    assert Rewrite(endpoint=Endpoint(model="tiny")).missing() is None
    assert "no model is named" in (RewriteLocally().missing() or "")
    assert "hf download nobody/nothing" in (RewriteLocally(model="nobody/nothing").missing() or "")
    with pytest.raises(CheckpointError, match="has no model"):
        Rewrite().process(CLIP)
