"""Prompts from files."""

from pathlib import Path

import pytest

from rufous.apps import prompt_files
from rufous.apps.prompt_files import PromptLine, read_prompts


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_text_file_has_one_prompt_per_line(tmp_path: Path):
    path = written(tmp_path, "a.txt", "\ufeffa star\n\n  a ring \n")
    assert read_prompts(path) == [PromptLine(prompt="a star"), PromptLine(prompt="a ring")]


def test_a_jsonl_file_may_name_seed_and_file(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", '{"prompt": "a star", "seed": 4, "name": "x.gif"}\n{"prompt": "a"}\n')
    assert read_prompts(path) == [PromptLine(prompt="a star", seed=4, name="x.gif"), PromptLine(prompt="a")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", 'has no text "prompt"'),
        ('{"prompt": 3}', 'has no text "prompt"'),
        ('{"prompt": "a", "sed": 1}', "has sed: use prompt, seed, name"),
        ('{"prompt": "a", "seed": 1.5}', r"seed=1\.5 is no whole number"),
        ('{"prompt": "a", "seed": true}', "seed=True is no whole number"),
        ('{"prompt": "a", "name": "../x.mp4"}', "is no plain file name"),
        ('{"prompt": "a", "name": ".hidden"}', "is no plain file name"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        read_prompts(written(tmp_path, "a.jsonl", line))


def test_empty_missing_binary_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="holds no prompt"):
        read_prompts(written(tmp_path, "a.txt", "\n\n"))
    with pytest.raises(FileNotFoundError):
        read_prompts(tmp_path / "missing.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UnicodeDecodeError):
        read_prompts(tmp_path / "b.txt")
    monkeypatch.setattr(prompt_files, "MAX_FILE_BYTES", 2)
    with pytest.raises(ValueError, match="at most 2"):
        read_prompts(written(tmp_path, "c.txt", "a star"))
