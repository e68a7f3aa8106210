"""Generators from seeds: randomness is always an argument, never global state."""

import hashlib

import torch


def generator_from(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream depends on ``seed`` and on every name, and on nothing else.

    ``generator_from(0, "noise", 3)`` and ``generator_from(0, "noise", 4)`` are independent streams.

    Raises:
        ValueError: ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed={seed} is negative: use 0 or more")
    text = "/".join(str(part) for part in (seed, *names))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "big") >> 1)
