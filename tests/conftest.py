"""Options of the whole suite."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference-dir",
        type=Path,
        default=Path(__file__).parent / "reference" / "cases",
        help="folder of reference cases (NAME.json with NAME.safetensors) that tests/reference runs",
    )
