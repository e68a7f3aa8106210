"""A client for any endpoint that speaks OpenAI's chat completions: vLLM, llama.cpp, or a paid service.

Answers are kept in a file and asked for once. What may pass by itself is tried again after a wait that grows;
what will not is one error. The key comes from an environment variable that the user names: it is in no
setting, manifest, log or message, and a redirect is refused rather than followed with it.

Source of the protocol: the OpenAI API reference, POST /chat/completions; images as data URLs.
"""

import base64
import email.message
import hashlib
import http.client
import io
import json
import os
import random
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rufous.core.console import logger
from rufous.core.errors import CheckpointError
from rufous.data.answers import Answer, AnswerFile
from rufous.data.stage import COST

_log = logger(__name__)

_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that may be others in a moment."""
_WRONG = frozenset({400, 413, 422})
"""Statuses that say that the request itself is wrong, whoever asks and when."""
_MAX_BYTES = 4 << 20  # of an answer; a caption has a few hundred
_MAX_TOKENS = 2**40  # of an answer that is believed: what is counted is never taken back
_LEAST_TRY_S = 0.1  # with less time left no further try is made
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where to ask, how patiently, and how much may be spent."""

    model: str = ""
    """As the endpoint calls it; to be named before anything is asked."""
    url: str = "http://localhost:8000/v1"
    temperature: float = 0.0
    seed: int = 0
    """Sent along; endpoints that know no seed ignore it."""
    max_answer_tokens: int = 300
    key_variable: str | None = field(default=None, metadata=COST)
    """Environment variable with the key, such as ``OPENAI_API_KEY``; None sends none."""
    timeout_s: float = field(default=60.0, metadata=COST)
    """For one try, from the first byte sent to the last one read."""
    patience_s: float = field(default=120.0, metadata=COST)
    """For one question, with all tries and the waits between them."""
    max_tries: int = field(default=6, metadata=COST)
    first_wait_s: float = field(default=1.0, metadata=COST)
    """Before the second try; it doubles with each further one, less up to half of it by chance."""
    longest_wait_s: float = field(default=60.0, metadata=COST)
    """A longer ``Retry-After`` is waited for as long as this."""
    concurrency: int = field(default=8, metadata=COST)
    """Requests at a time of threads that share a client; ``rufous curate`` sends one at a time a worker."""
    max_requests: int | None = field(default=None, metadata=COST)
    """Of all runs that share ``answers``, tries included; None: no limit."""
    max_tokens: int | None = field(default=None, metadata=COST)
    """As ``max_requests``, questions and answers; requests under way when it is reached still end."""
    answers: str | None = field(default=None, metadata=COST)
    """File of kept answers; None: ``~/.cache/rufous/answers.sqlite``. On a disk of this machine."""

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url={self.url!r} is no address: use one like http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("url holds a key or a query: name the key's variable with key_variable")
        counts = (self.max_tries, self.concurrency, self.max_answer_tokens)
        if min(counts) < 1 or min(self.timeout_s, self.first_wait_s, self.longest_wait_s) <= 0:
            raise ValueError("tries, concurrency, tokens, timeout and waits must be positive")
        if self.patience_s < self.timeout_s:
            raise ValueError(
                f"patience_s={self.patience_s} is shorter than one try, timeout_s={self.timeout_s}: raise it"
            )
        if self.key_variable and parts.scheme == "http" and parts.hostname not in _LOCAL:
            raise ValueError(f"{self.url} would get the key of {self.key_variable} in the clear: use https")


@dataclass(frozen=True)
class Message:
    """One turn: a text, and frames before it."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    text: str
    frames: tuple[bytes, ...] = ()
    """JPEG files."""


class EndpointClient:
    """Asks one endpoint; threads may share it."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Open nothing yet.

        Raises:
            CheckpointError: No model is named, or the variable of the key holds none.
        """
        if problem := missing_of(endpoint):
            raise CheckpointError(problem)
        self.endpoint = endpoint
        default = Path.home() / ".cache" / "rufous" / "answers.sqlite"
        self.answers = AnswerFile(Path(endpoint.answers) if endpoint.answers else default)
        self._places = threading.BoundedSemaphore(endpoint.concurrency)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._is_down = False

    def ask(self, messages: Sequence[Message]) -> Answer:
        """The model's answer, from the file of answers if it is there.

        Raises:
            ValueError: The request itself is wrong (400, 413, 422): another run would change nothing.
            OSError: The endpoint cannot be reached, refuses, is too slow or talks nonsense, or the budget is
                spent: another run may fare better.
        """
        key = self._key_of(messages)
        if (kept := self.answers.find(key)) is not None:
            return kept
        with self._places:
            answer = self._try_until_answered(self._body(messages))
        self.answers.keep(key, answer)
        return answer

    def _key_of(self, messages: Sequence[Message]) -> str:
        """What was asked, of whom: frames by their hashes; not where, since servers move."""
        told = [
            [each.role, each.text, [hashlib.sha256(frame).hexdigest() for frame in each.frames]]
            for each in messages
        ]
        asked = self.endpoint
        settings = [asked.model, asked.temperature, asked.seed, asked.max_answer_tokens]
        return hashlib.sha256(json.dumps([settings, told]).encode()).hexdigest()

    def _body(self, messages: Sequence[Message]) -> bytes:
        asked = self.endpoint
        content: dict[str, Any] = {
            "model": asked.model,
            "messages": [_as_json(message) for message in messages],
            "temperature": asked.temperature,
            "seed": asked.seed,
            "max_tokens": asked.max_answer_tokens,
        }
        return json.dumps(content).encode()

    def _try_until_answered(self, body: bytes) -> Answer:
        asked = self.endpoint
        tries = 1 if self._is_down else asked.max_tries  # after one patient failure, the next ones are quick
        deadline = time.monotonic() + asked.patience_s
        for number in range(tries):
            self.answers.take_request(max_requests=asked.max_requests, max_tokens=asked.max_tokens)
            try:
                left_s = max(_LEAST_TRY_S, deadline - time.monotonic())
                answer = self._try_once(body, min(asked.timeout_s, left_s))
            except _PassingError as error:
                wait_s = min(asked.longest_wait_s, asked.first_wait_s * 2**number) * random.uniform(0.5, 1.0)
                wait_s = max(wait_s, min(asked.longest_wait_s, error.wait_s))
                if number + 1 == tries or time.monotonic() + wait_s >= deadline - _LEAST_TRY_S:
                    self._is_down = True
                    raise error.last from None
                _log.debug("%s; again in %.1f s", error.last, wait_s)
                time.sleep(wait_s)
            else:
                self._is_down = False
                return answer
        raise AssertionError("max_tries is positive")

    def _try_once(self, body: bytes, timeout_s: float) -> Answer:
        """One request.

        Raises:
            _PassingError: Another try may help.
            ValueError: None will.
        """
        where = self.endpoint.url.rstrip("/") + "/chat/completions"
        key = _secret_of(self.endpoint)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(where, body, headers)
        deadline, late = time.monotonic() + timeout_s, f"{where} did not answer within {timeout_s:.3g} s"
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                content = _read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                said = _reason_in(_read_if_whole(error, deadline), hidden=key)
            problem = f"{where} answers {error.code} {error.reason}: {said}"
            if error.code in _PASSING:
                raise _PassingError(OSError(problem), _retry_after(error.headers)) from None
            raise (ValueError if error.code in _WRONG else OSError)(problem) from None
        except TimeoutError:
            raise _PassingError(TimeoutError(late)) from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError | socket.timeout):
                raise _PassingError(TimeoutError(late)) from None
            raise _PassingError(ConnectionError(f"{where} cannot be reached: {error}")) from None
        return self._answer_in(content, where, asked_bytes=len(body))

    def _answer_in(self, content: bytes, where: str, *, asked_bytes: int) -> Answer:
        try:
            told = json.loads(content)
            choice = told["choices"][0]
            text = choice["message"]["content"]
            if not isinstance(text, str) or not text.strip():
                raise TypeError("no text")
            text.encode()  # half a character is no text, and no file takes it
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            problem = f"{where} answers without a text ({type(error).__name__}: {error})"
            raise _PassingError(OSError(problem)) from None
        finally:
            self.answers.add_tokens(_tokens_in(content, asked_bytes))
        return Answer(text.strip(), is_whole=choice.get("finish_reason") != "length")


class _PassingError(Exception):
    """Something that may be over in a moment."""

    def __init__(self, last: OSError, wait_s: float = 0.0) -> None:
        super().__init__(str(last))
        self.last, self.wait_s = last, wait_s


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: the key belongs to the host that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def jpeg_of(frame: np.ndarray, *, longest_side: int = 768, quality: int = 85) -> bytes:
    """A frame (RGB, uint8, ``h w 3``) as a JPEG file, made smaller if a side is longer than this."""
    picture = Image.fromarray(frame)
    picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _as_json(message: Message) -> dict[str, Any]:
    """A turn as the protocol has it; a plain string without frames, which every server reads."""
    if not message.frames:
        return {"role": message.role, "content": message.text}
    urls = [f"data:image/jpeg;base64,{base64.b64encode(frame).decode()}" for frame in message.frames]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": message.role, "content": [*parts, {"type": "text", "text": message.text}]}


def missing_of(endpoint: Endpoint) -> str | None:
    """What an endpoint lacks before it can be asked; None if nothing. Nothing is sent."""
    if not endpoint.model:
        return f"the endpoint {endpoint.url} has no model: set endpoint.model to the name it goes by there"
    if endpoint.key_variable and not _secret_of(endpoint):
        return f"the environment variable {endpoint.key_variable} holds no key: set it, or name none"
    return None


def _secret_of(endpoint: Endpoint) -> str | None:
    return os.environ.get(endpoint.key_variable, "").strip() if endpoint.key_variable else None


def _read(response: http.client.HTTPResponse | urllib.error.HTTPError, deadline: float) -> bytes:
    """The body, if it comes before the deadline: a server that trickles would otherwise hold a place."""
    content = bytearray()
    while part := response.read1(1 << 16):
        content += part
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(content) > _MAX_BYTES:
            raise _PassingError(OSError(f"the answer has more than {_MAX_BYTES >> 20} MB"))
    return bytes(content)


def _read_if_whole(error: urllib.error.HTTPError, deadline: float) -> bytes:
    """What comes with a refusal; nothing if that is broken off as well: the status says enough."""
    try:
        return _read(error, deadline)
    except (OSError, http.client.HTTPException, _PassingError):
        return b""


def _reason_in(content: bytes, *, hidden: str | None) -> str:
    """What a refusal says, in one short line, without the key."""
    text = " ".join(content.decode(errors="replace").split())
    text = text.replace(hidden, "[key]") if hidden else text
    return re.sub(r"\bsk-[\w*-]+", "[key]", text)[:300] or "nothing more"


def _retry_after(headers: email.message.Message) -> float:
    """Seconds that the server asks for; 0 if it does not say, or gives a date."""
    text = headers.get("Retry-After") or ""
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d+)?", text) else 0.0


def _tokens_in(content: bytes, asked_bytes: int) -> int:
    """What the server counted; where that is no count, a token for every four bytes, frames at most 4,000."""
    try:
        told = json.loads(content)["usage"]["total_tokens"]
    except (ValueError, KeyError, TypeError, RecursionError):
        told = None
    if type(told) is int and 0 <= told <= _MAX_TOKENS:
        return told
    return (min(asked_bytes, 16_000) + len(content)) // 4
