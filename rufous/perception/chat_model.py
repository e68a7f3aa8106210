"""Answers of instructed models of transformers: language models, and those that see frames as well.

The model's own chat template frames the question, and its own processor prepares the frames through Pillow.
Models whose processor needs torchvision (those with a video processor, such as Qwen2-VL's) do not load
without it; an endpoint serves them (``rufous/data/endpoint.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from rufous.core.errors import CheckpointError
from rufous.perception.hub_models import HubModel, load_hub_model


@dataclass(frozen=True, eq=False)
class ChatModel:
    """A model that follows instructions; greedy, so that the same question has the same answer."""

    source: HubModel
    max_new_tokens: int = 300

    @torch.no_grad()
    def __call__(
        self, turns: Sequence[tuple[str, str]], frames: UInt8[Tensor, "n 3 h w"] | None = None
    ) -> str:
        """The answer to the last turn.

        Args:
            turns: Role (``system``, ``user`` or ``assistant``) and text; roles as the template allows.
            frames: Shown before the first text of the user.
        """
        inputs = self.source.processor.apply_chat_template(
            self._messages(turns, frames),
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.source.network.device)
        ids = self.source.network.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        said = ids[:, inputs["input_ids"].shape[1] :]
        return self.source.processor.batch_decode(said, skip_special_tokens=True)[0].strip()

    def _messages(
        self, turns: Sequence[tuple[str, str]], frames: UInt8[Tensor, "n 3 h w"] | None
    ) -> list[dict[str, Any]]:
        if frames is None:
            return [{"role": role, "content": text} for role, text in turns]
        shown = next((i for i, (role, _) in enumerate(turns) if role == "user"), None)
        if shown is None:
            raise ValueError("frames go with a turn of the user, and there is none")
        pictures = [Image.fromarray(frame.permute(1, 2, 0).cpu().numpy()) for frame in frames]
        images: list[dict[str, Any]] = [{"type": "image", "image": picture} for picture in pictures]
        return [
            {"role": role, "content": [*(images if i == shown else []), {"type": "text", "text": text}]}
            for i, (role, text) in enumerate(turns)
        ]


def load_chat_model(
    hub_id: str,
    *,
    sees: bool,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> ChatModel:
    """A model from a folder or from the hub's cache; nothing is downloaded.

    Args:
        hub_id: Repository on the hub, or a folder in transformers' layout with safetensors.
        sees: Whether it reads frames.
        device: Where the weights go.
        dtype: Of the weights.
        **settings: Fields of ``ChatModel``.

    Raises:
        CheckpointError: It is not there, incomplete, of another kind, or has no chat template.
    """
    kind = "AutoModelForImageTextToText" if sees else "AutoModelForCausalLM"
    source = load_hub_model(hub_id, kind, device=device, dtype=dtype)
    if getattr(source.processor, "chat_template", None) is None:
        raise CheckpointError(f"{hub_id} has no chat template: use a model that was tuned on instructions")
    return ChatModel(source, **settings)
