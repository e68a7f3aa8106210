import json
from pathlib import Path

import pytest

from rufous.evaluation.vbench import known_suites
from rufous.evaluation.vbench.known_suites import WORLD_PROMPTS, find_suite
from rufous.world import parse_caption


def test_the_suite_of_the_world_holds_prompts_of_its_grammar():
    entries = find_suite("world")
    assert len({entry.prompt for entry in entries}) == len(entries) == WORLD_PROMPTS
    assert all(parse_caption(entry.prompt) is not None for entry in entries)
    assert find_suite("world") == entries


def test_a_file_is_a_suite(tmp_path):
    path = tmp_path / "world"
    path.write_text(json.dumps([{"prompt_en": "x", "dimension": ["color"]}]))
    assert [entry.prompt for entry in find_suite(str(path))] == ["x"]


def test_vbench_is_looked_for_where_it_is_installed_or_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(known_suites.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"get vbench/VBench_full_info\.json from https://github\.com/Vchitect"
    ):
        find_suite("vbench")
    kept = tmp_path / ".cache" / "vbench" / "VBench_full_info.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps([{"prompt_en": "x"}]))
    assert [entry.prompt for entry in find_suite("vbench")] == ["x"]


def test_an_unknown_suite_is_refused():
    with pytest.raises(ValueError, match="no suite 'nothing'"):
        find_suite("nothing")
