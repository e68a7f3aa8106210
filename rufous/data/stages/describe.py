"""What a clip shows, in a sentence or two by a vision-language model.

The caption lands beside the others as ``described``. A text that is no caption (a refusal, a list, chatter)
is answered with what is wrong with it, once; after that the clip goes on without.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import numpy as np
from einops import rearrange

from rufous.core.devices import pick_device, pick_dtype
from rufous.core.errors import CheckpointError
from rufous.data.answers import Answer
from rufous.data.caption_check import CaptionLimits, problems_of
from rufous.data.clip import Clip
from rufous.data.endpoint import Endpoint, EndpointClient, Message, jpeg_of, missing_of
from rufous.data.frame_choice import spread_frames
from rufous.data.stage import Gives
from rufous.perception.chat_model import ChatModel, load_chat_model
from rufous.perception.hub_models import find_hub_model

Turns: TypeAlias = list[tuple[str, str]]

DESCRIBE_PROMPT = (
    "These frames were taken from one short video, in order. Say in one to three plain English "
    "sentences what the video shows: who or what is there, with colours and numbers where they are "
    "clear; what happens, and in which direction; where it is; and how the camera moves, if it does. "
    "Say only what can be seen. Do not guess names, places, feelings or sounds, do not mention frames "
    "or images, and write nothing but these sentences."
)
_AGAIN = "That will not do: {problems}. Write the sentences again, and nothing else."


@dataclass(frozen=True, kw_only=True)
class Describe:
    """Writes the caption ``described``, asking an endpoint; threads may share one stage."""

    name: ClassVar[str] = "describe"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    reads_few: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives()

    endpoint: Endpoint = field(default_factory=Endpoint)
    num_frames: int = 4
    longest_side: int = 768
    """Pixels of the frames that are sent."""
    prompt: str = DESCRIBE_PROMPT
    limits: CaptionLimits = field(default_factory=CaptionLimits)

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_of(self.endpoint)

    def longest_wait_s(self) -> float:
        """Two questions at most: the second where the first answer will not do."""
        return 2 * self.endpoint.patience_s

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its caption.

        Raises:
            ValueError: It cannot be read, or the model writes no caption.
            OSError: The endpoint does not answer, or the budget is spent.
            CheckpointError: No model is named, or a key is missing.
        """
        frames = spread_frames(clip.frames(), self.num_frames)
        pictures = rearrange(frames, "n c h w -> n h w c").numpy()
        jpegs = tuple(
            jpeg_of(np.ascontiguousarray(each), longest_side=self.longest_side) for each in pictures
        )
        client = client_of(self.endpoint)

        def ask(turns: Turns) -> Answer:
            (role, text), *later = turns
            return client.ask([Message(role, text, jpegs), *(Message(*turn) for turn in later)])

        return [clip.with_captions(described=_caption(ask, self.prompt, self.limits))]


@dataclass(frozen=True, kw_only=True)
class DescribeLocally:
    """Writes the caption ``described`` by a model of transformers on this machine."""

    name: ClassVar[str] = "describe_locally"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    reads_few: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives()

    model: str = ""
    """Repository whose files are in the hub's cache, or a folder; it needs a chat template."""
    num_frames: int = 4
    max_new_tokens: int = 300
    prompt: str = DESCRIBE_PROMPT
    limits: CaptionLimits = field(default_factory=CaptionLimits)
    device: str = "auto"
    """``auto`` takes the best there is."""
    dtype: str = "auto"
    """``auto`` is bf16 where the device computes it."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_model(self.model)

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its caption.

        Raises:
            ValueError: It cannot be read, or the model writes no caption.
            CheckpointError: The model is missing, incomplete or of another kind.
        """
        model = chat_model_of(
            self.model, sees=True, device=self.device, dtype=self.dtype, max_new_tokens=self.max_new_tokens
        )
        frames = spread_frames(clip.frames(), self.num_frames)
        caption = _caption(lambda turns: Answer(model(turns, frames)), self.prompt, self.limits)
        return [clip.with_captions(described=caption)]


@functools.lru_cache(maxsize=4)
def client_of(endpoint: Endpoint) -> EndpointClient:
    """The client of this process for an endpoint."""
    return EndpointClient(endpoint)


@functools.lru_cache(maxsize=1)
def chat_model_of(name: str, *, sees: bool, device: str, dtype: str, max_new_tokens: int) -> ChatModel:
    """The model of this process."""
    place = pick_device(device)
    return load_chat_model(
        name, sees=sees, device=place, dtype=pick_dtype(dtype, place), max_new_tokens=max_new_tokens
    )


def missing_model(name: str) -> str | None:
    """What a stage with a local model lacks; None if nothing. Nothing is loaded."""
    if not name:
        return "no model is named: set model to a folder, or to a repository that is in the hub's cache"
    try:
        find_hub_model(name)
    except CheckpointError as error:
        return str(error)
    return None


def ask_twice(
    ask: Callable[[Turns], Answer],
    turns: Turns,
    problems_in: Callable[[Answer], Sequence[str]],
    *,
    again: str,
) -> tuple[str, Sequence[str]]:
    """An answer and what is wrong with it; a bad one is asked for once more, with what is wrong.

    Args:
        ask: From turns to an answer.
        turns: Role and text of what is asked.
        problems_in: What is wrong with an answer.
        again: What to say then, with ``{problems}``.
    """
    answer = ask(turns)
    problems = problems_in(answer)
    if problems:
        complaint = again.format(problems="; ".join(problems))
        answer = ask([*turns, ("assistant", answer.text or "(nothing)"), ("user", complaint)])
        problems = problems_in(answer)
    return answer.text, problems


def _caption(ask: Callable[[Turns], Answer], prompt: str, limits: CaptionLimits) -> str:
    text, problems = ask_twice(
        ask, [("user", prompt)], lambda answer: problems_of(answer, limits), again=_AGAIN
    )
    if problems:
        raise ValueError(f"the model writes no caption ({'; '.join(problems)}): {text[:120]!r}")
    return text
