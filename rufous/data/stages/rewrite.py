"""Captions made one clean sentence or two by a language model, from the original one and the described one.

Hummingbird rewrites its captions with Llama 3 (Isobe et al. 2025, arXiv:2503.18559) and publishes neither
prompt nor code; the prompt here is our own. What comes back is checked (``caption_check``): form, and whether
it names what no source names. If a second try fails too, the clip keeps the captions it has. The original is
never changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from rufous.data.answers import Answer
from rufous.data.caption_check import CaptionLimits, drift_of, problems_of
from rufous.data.clip import Clip
from rufous.data.endpoint import Endpoint, Message, missing_of
from rufous.data.stage import Gives
from rufous.data.stages.describe import Turns, ask_twice, chat_model_of, client_of, missing_model

REWRITE_PROMPT = (
    "You edit captions of short videos, from which a model learns to make videos. You are given one or "
    "two texts about the same video. Write one caption in plain English, of one to three sentences, in "
    "the present tense: who or what is there, what it does, where, and how the camera moves. Keep every "
    "fact that can be seen: things, colours, numbers, sizes, directions. Where the texts disagree, "
    "follow the second. Leave out what cannot be seen, such as names, dates, moods, sounds, "
    "advertising, file formats and quality words. Add nothing: use the words of the texts for every "
    "thing, and name no thing, colour or number that they do not name. Answer with the caption alone, "
    "without quotes, labels or remarks."
)
_AGAIN = (
    "That will not do: {problems}. Write the caption again, from the given texts alone, and nothing else."
)
_SOURCES = ("original", "described")


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """Writes the caption ``rewritten``, asking an endpoint; threads may share one stage.

    The tag ``rewrite`` says ``done``, or ``kept`` with the reason why the clip has no such caption.
    """

    name: ClassVar[str] = "rewrite"
    after: ClassVar[tuple[str, ...]] = ("describe", "describe_locally")
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    reads_few: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives()

    endpoint: Endpoint = field(default_factory=Endpoint)
    prompt: str = REWRITE_PROMPT
    limits: CaptionLimits = field(default_factory=CaptionLimits)

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_of(self.endpoint)

    def longest_wait_s(self) -> float:
        """Two questions at most: the second where the first answer will not do."""
        return 2 * self.endpoint.patience_s

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its caption, or with the reason why there is none.

        Raises:
            ValueError: It has no caption to begin with.
            OSError: The endpoint does not answer, or the budget is spent.
            CheckpointError: No model is named, or a key is missing.
        """
        client = client_of(self.endpoint)
        return _rewritten(
            clip, lambda turns: client.ask([Message(*turn) for turn in turns]), self.prompt, self.limits
        )


@dataclass(frozen=True, kw_only=True)
class RewriteLocally:
    """Writes the caption ``rewritten`` by a model of transformers on this machine; tags as ``Rewrite``."""

    name: ClassVar[str] = "rewrite_locally"
    after: ClassVar[tuple[str, ...]] = ("describe", "describe_locally")
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = True
    reads_few: ClassVar[bool] = True
    gives: ClassVar[Gives] = Gives()

    model: str = ""
    """Repository whose files are in the hub's cache, or a folder; it needs a chat template."""
    max_new_tokens: int = 300
    prompt: str = REWRITE_PROMPT
    limits: CaptionLimits = field(default_factory=CaptionLimits)
    device: str = "auto"
    """``auto`` takes the best there is."""
    dtype: str = "auto"
    """``auto`` is bf16 where the device computes it."""

    def missing(self) -> str | None:
        """What is missing and how to get it; None if nothing is."""
        return missing_model(self.model)

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its caption, or with the reason why there is none.

        Raises:
            ValueError: It has no caption to begin with.
            CheckpointError: The model is missing, incomplete or of another kind.
        """
        model = chat_model_of(
            self.model, sees=False, device=self.device, dtype=self.dtype, max_new_tokens=self.max_new_tokens
        )
        return _rewritten(clip, lambda turns: Answer(model(turns)), self.prompt, self.limits)


def _rewritten(clip: Clip, ask: Callable[[Turns], Answer], prompt: str, limits: CaptionLimits) -> list[Clip]:
    sources = [clip.captions[kind].strip() for kind in _SOURCES if clip.captions.get(kind, "").strip()]
    if not sources:
        raise ValueError(f"{clip.source} has no caption to rewrite: use {' or '.join(_SOURCES)}")
    given = "\n".join(f"Text {number}: {' '.join(text.split())}" for number, text in enumerate(sources, 1))
    text, problems = ask_twice(
        ask,
        [("system", prompt), ("user", given)],
        lambda answer: [*problems_of(answer, limits), *drift_of(answer.text, sources, limits)],
        again=_AGAIN,
    )
    if problems:
        return [clip.with_tags(rewrite=f"kept: {'; '.join(problems)}")]
    return [clip.with_captions(rewritten=text).with_tags(rewrite="done")]
