"""The client against a real server on this machine: good answers, and everything that goes wrong."""

import base64
import io
import logging
import pickle
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from rufous.core.errors import CheckpointError
from rufous.data.answers import BudgetSpentError
from rufous.data.endpoint import Endpoint, EndpointClient, Message, jpeg_of
from rufous.data.stage import settings_key
from rufous.data.stages.rewrite import Rewrite
from tests.data.chat_server import Reply, chat_server, fails, says

ASKED = [Message("user", "What is there?")]
KEY = "sk-very-secret-1234"


def client(server, tmp_path, **settings):
    quick = {
        "first_wait_s": 0.01,
        "timeout_s": 20.0,
        "max_tries": 3,
        "answers": str(tmp_path / "answers.sqlite"),
    }
    return EndpointClient(Endpoint(model="tiny", url=server.url, **{**quick, **settings}))


def test_what_is_sent_is_a_chat_completion(tmp_path):
    picture = jpeg_of(np.full((40, 80, 3), 200, dtype=np.uint8), longest_side=32)
    with chat_server(" a cat \n") as server:
        answer = client(server, tmp_path, temperature=0.5, seed=3, max_answer_tokens=7).ask(
            [Message("system", "Be brief."), Message("user", "What?", (picture, picture))]
        )
    assert (answer.text, answer.is_whole) == ("a cat", True)
    sent = server.asked[0]
    assert sent["path"] == "/v1/chat/completions"
    assert [sent[name] for name in ("model", "temperature", "seed", "max_tokens")] == ["tiny", 0.5, 3, 7]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    first, second, text = sent["messages"][1]["content"]
    assert text == {"type": "text", "text": "What?"}
    head, _, code = first["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(code))).size == (32, 16)
    assert first == second
    assert "Authorization" not in server.headers[0]


def test_an_answer_is_asked_for_once_and_another_question_is_another_answer(tmp_path):
    with chat_server("one", "two", "three") as server:
        asking = client(server, tmp_path)
        assert [asking.ask(ASKED).text for _ in range(2)] == ["one", "one"]
        assert client(server, tmp_path).ask(ASKED).text == "one"
        assert asking.ask([Message("user", "What is there?", (b"a frame",))]).text == "two"
        assert client(server, tmp_path, seed=1).ask(ASKED).text == "three"
    assert len(server.asked) == 3
    assert asking.answers.spent().requests == 3
    assert asking.answers.spent().tokens == 30


@pytest.mark.parametrize(
    "bad",
    [
        fails(429, Retry_After="0"),
        fails(500),
        fails(503),
        Reply(b"<html>busy</html>"),
        Reply(b'{"choices": []}'),
        Reply(b'{"choices": [{"message": {"content": null}}]}'),
        Reply(b"[1, 2]"),
        says("   "),
        Reply(b'{"choices"', headers={"Content-Length": "400"}),
        Reply(b"[" * 100_000),
        Reply(b'{"choices": [{"message": {"content": "\\ud83d"}}]}'),
        Reply(b"5\r\non", 500, {"Transfer-Encoding": "chunked"}),
    ],
    ids=[
        *(
            "429",
            "500",
            "503",
            "html",
            "no choice",
            "null",
            "list",
            "blank",
            "cut off",
            "deep",
            "half a letter",
        ),
        "500 cut off",
    ],
)
def test_what_may_pass_is_tried_again(bad, tmp_path):
    with chat_server(bad, "a cat") as server:
        asking = client(server, tmp_path, timeout_s=3.0)
        assert asking.ask(ASKED).text == "a cat"
    assert len(server.asked) == 2
    assert asking.answers.spent().requests == 2


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (fails(500, "on fire"), OSError, r"/v1/chat/completions answers 500 .*on fire"),
        (Reply(b"nonsense"), OSError, "answers without a text"),
        (Reply(b'{"choices": []}'), OSError, "answers without a text .IndexError"),
        (Reply(b"x" * (5 << 20)), OSError, "more than 4 MB"),
    ],
)
def test_what_does_not_pass_is_one_error_and_nothing_is_kept(bad, error, message, tmp_path):
    with chat_server(bad) as server:
        asking = client(server, tmp_path, max_tries=2)
        with pytest.raises(error, match=message):
            asking.ask(ASKED)
        assert len(server.asked) == 2
    with chat_server("a cat") as server:
        assert client(server, tmp_path).ask(ASKED).text == "a cat"


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, ValueError), (413, ValueError), (422, ValueError), (401, OSError), (403, OSError), (404, OSError)],
)
def test_what_will_not_pass_is_not_tried_again(status, error, tmp_path):
    """Only a request that is wrong in itself is a fault of the clip, which later runs need not repeat."""
    with (
        chat_server(fails(status, "the reason")) as server,
        pytest.raises(error, match=f"answers {status} .*the reason"),
    ):
        client(server, tmp_path).ask(ASKED)
    assert len(server.asked) == 1


def test_a_server_that_is_silent_or_trickles_runs_out_of_time(tmp_path):
    for slow in (says("late", delay_s=3.0), replace(says("slow"), delay_s=0.2, pieces=20)):
        with chat_server(slow) as server:
            begun = time.monotonic()
            with pytest.raises(TimeoutError, match="did not answer within"):
                client(server, tmp_path, max_tries=1, timeout_s=0.5).ask(ASKED)
            assert time.monotonic() - begun < 2.9


def test_a_question_has_one_deadline_whatever_its_tries(tmp_path):
    settings = {"max_tries": 40, "timeout_s": 0.5, "patience_s": 1.2, "longest_wait_s": 0.02}
    for slow, tries in ((says("late", delay_s=3.0), 3), (fails(503, Retry_After="9"), 60)):
        with chat_server(slow) as server:
            begun = time.monotonic()
            with pytest.raises(OSError, match=r"did not answer within|answers 503"):
                client(server, tmp_path, **settings).ask(ASKED)
            assert time.monotonic() - begun < 5.0
            assert 2 <= len(server.asked) <= tries


def test_waits_grow_and_the_server_may_ask_for_longer(tmp_path, monkeypatch):
    waits = []
    clock = SimpleNamespace(sleep=waits.append, monotonic=time.monotonic)  # other threads sleep by their own
    monkeypatch.setattr("rufous.data.endpoint.time", clock)
    replies = [fails(500), fails(500), fails(429, Retry_After="7"), fails(429, Retry_After="900"), says("a")]
    replies = [replace(each, delay_s=0.0) for each in replies]
    with chat_server(*replies) as server:
        client(server, tmp_path, max_tries=5, first_wait_s=1.0, longest_wait_s=30.0).ask(ASKED)
    assert 0.5 <= waits[0] <= 1.0 <= waits[1] <= 2.0
    assert waits[2:] == [7.0, 30.0]


def test_an_endpoint_that_is_down_costs_patience_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asking = EndpointClient(
        Endpoint(
            model="tiny",
            url=f"http://127.0.0.1:{port}/v1",
            max_tries=3,
            first_wait_s=0.01,
            answers=str(tmp_path / "answers.sqlite"),
        )
    )
    for tries in (3, 4, 5):
        with pytest.raises(ConnectionError, match="cannot be reached"):
            asking.ask(ASKED)
        assert asking.answers.spent().requests == tries


def test_a_spent_budget_stops_before_anything_is_sent_and_kept_answers_stay_free(tmp_path):
    with chat_server("a cat") as server:
        asking = client(server, tmp_path, max_requests=2)
        questions = [[Message("user", str(number))] for number in range(3)]
        assert [asking.ask(question).text for question in questions[:2]] == ["a cat"] * 2
        with pytest.raises(BudgetSpentError, match="2 requests of 2"):
            asking.ask(questions[2])
        assert asking.ask(questions[0]).text == "a cat"
        assert len(server.asked) == 2
        assert client(server, tmp_path, max_requests=3).ask(questions[2]).text == "a cat"


@pytest.mark.parametrize("told", ["", "1e999", "1" + 30 * "0", "-1000000", '"many"', "true", "null"])
def test_tokens_are_estimated_where_the_server_does_not_count(told, tmp_path):
    usage = f', "usage": {{"total_tokens": {told}}}' if told else ""
    reply = Reply(f'{{"choices": [{{"message": {{"content": "a cat"}}}}]{usage}}}'.encode())
    with chat_server(reply) as server:
        asking = client(server, tmp_path)
        asking.ask(ASKED)
    assert 20 < asking.answers.spent().tokens < 200


def test_requests_run_side_by_side_up_to_the_limit(tmp_path):
    with chat_server(says("a cat", delay_s=0.3)) as server:
        asking = client(server, tmp_path, concurrency=3)
        questions = [[Message("user", str(number))] for number in range(9)]
        with ThreadPoolExecutor(9) as pool:
            assert len(list(pool.map(asking.ask, questions))) == 9
    assert 2 <= server.most_at_once <= 3


def test_the_key_comes_from_the_environment_and_is_nowhere_else(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("A_KEY", KEY)
    with (
        chat_server("a cat", fails(401, f"the key {KEY} is wrong, so is sk-ve***34")) as server,
        caplog.at_level(logging.DEBUG),
    ):
        asking = client(server, tmp_path, key_variable="A_KEY")
        asking.ask(ASKED)
        with pytest.raises(OSError, match="answers 401") as refused:
            asking.ask([Message("user", "And now?")])
        stage = Rewrite(endpoint=asking.endpoint)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    told = [str(refused.value), caplog.text, repr(stage), pickle.dumps(stage).decode("latin1")]
    told.append((tmp_path / "answers.sqlite").read_bytes().decode("latin1"))
    assert not [text for text in told if KEY in text or "sk-ve" in text]
    monkeypatch.delenv("A_KEY")
    assert "A_KEY holds no key" in (stage.missing() or "")
    with pytest.raises(CheckpointError, match="environment variable A_KEY holds no key"):
        client(server, tmp_path, key_variable="A_KEY")


def test_a_redirect_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", KEY)
    with chat_server("a cat") as other:
        moved = Reply(status=302, headers={"Location": f"{other.url}/chat/completions"})
        with chat_server(moved) as server, pytest.raises(OSError, match="answers 302"):
            client(server, tmp_path, key_variable="A_KEY").ask(ASKED)
        assert not other.asked


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "localhost:8000"}, "is no address"),
        ({"url": "https://user:word@host/v1"}, "holds a key"),
        ({"url": "http://host/v1", "key_variable": "A_KEY"}, "in the clear: use https"),
        ({"max_tries": 0}, "must be positive"),
        ({"timeout_s": 0.0}, "must be positive"),
        ({"timeout_s": 121.0}, "patience_s=120.0 is shorter than one try"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Endpoint(**{"model": "tiny", **settings})


def test_settings_that_only_cost_do_not_make_a_stage_do_clips_again():
    endpoint = Endpoint(model="tiny")
    key = settings_key(Rewrite(endpoint=endpoint))
    dearer = replace(endpoint, max_requests=10, timeout_s=5.0, concurrency=1, answers="other")
    assert settings_key(Rewrite(endpoint=dearer)) == key
    assert settings_key(Rewrite(endpoint=replace(endpoint, seed=1))) != key
    assert settings_key(Rewrite(endpoint=endpoint, prompt="Another.")) != key
