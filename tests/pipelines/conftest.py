"""Fixtures of the pipelines' tests."""

from tests.tiny_release import tiny_pipeline, tiny_release

__all__ = ["tiny_pipeline", "tiny_release"]
