"""Captions by an endpoint (a real server on this machine) and by a tiny local model."""

import base64
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from PIL import Image

from rufous.core.errors import CheckpointError
from rufous.data import engine
from rufous.data.caption_check import CaptionLimits
from rufous.data.clip import Clip
from rufous.data.endpoint import Endpoint
from rufous.data.journal import Journal
from rufous.data.local_executor import LocalExecutor
from rufous.data.stage import Stage
from rufous.data.stages.describe import DESCRIBE_PROMPT, Describe, DescribeLocally
from rufous.data.stages.probe import Probe
from tests.data.chat_server import chat_server, says
from tests.data.tiny_clips import clip_of, noise, numbered
from tests.perception.tiny_hub_models import write_seeing_model

GOOD = "A grey field grows brighter while the camera stays where it is."
REFUSAL = "I'm sorry, but I can't view this video for you."


def describe(server, tmp_path, **settings):
    endpoint = Endpoint(
        model="tiny",
        url=server.url,
        first_wait_s=0.01,
        answers=str(tmp_path / "answers.sqlite"),
        concurrency=4,
    )
    return Describe(endpoint=endpoint, **settings)


def test_the_caption_lands_beside_the_original(tmp_path):
    with chat_server(GOOD) as server:
        (clip,) = describe(server, tmp_path).process(clip_of(numbered(), captions={"original": "fog"}))
    assert clip.captions == {"original": "fog", "described": GOOD}
    (message,) = server.asked[0]["messages"]
    *pictures, text = message["content"]
    assert text["text"] == DESCRIBE_PROMPT
    levels = []
    for each in pictures:
        code = each["image_url"]["url"].partition(",")[2]
        levels.append(Image.open(io.BytesIO(base64.b64decode(code))).convert("L").getpixel((5, 5)))
    assert levels == pytest.approx([2, 12, 28, 38], abs=2)


def test_a_refusal_is_answered_with_what_is_wrong(tmp_path):
    with chat_server(REFUSAL, GOOD) as server:
        (clip,) = describe(server, tmp_path).process(clip_of(noise()))
    assert clip.captions["described"] == GOOD
    assert server.texts()[1] == REFUSAL
    assert "it refuses" in server.texts()[2]
    assert len(server.asked[1]["messages"][0]["content"]) == 5


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (REFUSAL, "it refuses"),
        (says(GOOD, finish="length"), "cut off"),
        ("**Caption:**\n- a cat", "Markdown"),
    ],
)
def test_a_model_that_writes_no_caption_is_told_by_the_clip(reply, problem, tmp_path):
    with chat_server(reply) as server, pytest.raises(ValueError, match=f"writes no caption .*{problem}"):
        describe(server, tmp_path).process(clip_of(noise()))
    assert len(server.asked) == 2


def test_the_same_frames_are_asked_about_once(tmp_path):
    with chat_server(GOOD) as server:
        stage = describe(server, tmp_path)
        for _ in range(2):
            stage.process(clip_of(noise()))
        stage.process(clip_of(noise(seed=1)))
    assert len(server.asked) == 2


def test_threads_share_a_stage(tmp_path):
    with chat_server(says(GOOD, delay_s=0.3)) as server:
        stage = describe(server, tmp_path)
        with ThreadPoolExecutor(8) as pool:
            clips = list(pool.map(stage.process, [clip_of(noise(seed=seed)) for seed in range(8)]))
    assert all(clip.captions["described"] == GOOD for (clip,) in clips)
    assert 2 <= server.most_at_once <= 4


def test_both_are_stages_that_travel(tmp_path):
    for stage in (Describe(endpoint=Endpoint(model="tiny")), DescribeLocally(model="tiny")):
        assert isinstance(stage, Stage)
        assert pickle.loads(pickle.dumps(stage)) == stage


def test_a_local_model_sees_the_frames(tmp_path):
    stage = DescribeLocally(
        model=str(write_seeing_model(tmp_path)),
        num_frames=2,
        max_new_tokens=6,
        device="cpu",
        dtype="fp32",
        limits=CaptionLimits(min_words=1),
    )
    with pytest.raises(ValueError, match="the model writes no caption"):  # random weights know no English
        stage.process(clip_of(noise()))
    assert stage.missing() is None
    with pytest.raises(CheckpointError, match="nobody/nothing is missing"):
        DescribeLocally(model="nobody/nothing").process(clip_of(noise()))


@pytest.mark.slow
def test_a_silent_endpoint_costs_captions_and_no_clip(tmp_path, write_clip):
    """In a real worker, whose time for a clip is shorter than all tries would take."""
    clips = [Clip(source=write_clip(f"{number}.mkv", grey=60 * number + 20).name) for number in range(2)]

    def curated(server):
        endpoint = Endpoint(
            model="tiny",
            url=server.url,
            timeout_s=4.0,
            patience_s=6.0,
            first_wait_s=0.01,
            answers=str(tmp_path / "answers.sqlite"),
        )
        executor = LocalExecutor(num_workers=1, timeout_s=20.0)
        with closing(Journal(tmp_path / "journal.jsonl")) as journal:
            steps = [Probe(), Describe(endpoint=endpoint)]
            return engine.curate(clips, steps, root=tmp_path / "videos", executor=executor, journal=journal)

    with chat_server(says("late", delay_s=60.0)) as server:
        silent = curated(server)
        assert len(server.asked) == 2 + 1  # patience is spent once
    assert [clip.dropped for clip in silent.clips] == [None, None]
    assert all("did not answer within" in clip.errors["describe"] for clip in silent.clips)
    with chat_server(GOOD) as server:
        assert [clip.captions for clip in curated(server).clips] == [{"described": GOOD}] * 2
