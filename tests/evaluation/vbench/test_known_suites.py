import json
from pathlib import Path

import pytest

from rufous.evaluation.vbench import known_suites
from rufous.evaluation.vbench.known_suites import WORLD_PROMPTS, find_suite, suite_file
from rufous.world import parse_caption


def test_the_suite_of_the_world_holds_prompts_of_its_grammar():
    entries = find_suite("world")
    assert len({entry.prompt for entry in entries}) == len(entries) == WORLD_PROMPTS
    assert all(parse_caption(entry.prompt) is not None for entry in entries)
    assert find_suite("world") == entries
    assert suite_file("world") is None
    asked = {row for entry in entries for row in entry.dimensions}
    assert not asked & {"dynamic_degree", "motion_smoothness", "temporal_flickering"}


def test_a_file_is_a_suite(tmp_path):
    path = tmp_path / "world"
    path.write_text(json.dumps([{"prompt_en": "x", "dimension": ["color"]}]))
    assert [entry.prompt for entry in find_suite(str(path))] == ["x"]


def test_vbench_is_looked_for_where_it_is_installed_or_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("VBENCH_CACHE_DIR", raising=False)
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
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"looked for .*cache/VBench_full_info\.json;"):
        find_suite("vbench")
    (tmp_path / "cache").mkdir()
    kept.rename(tmp_path / "cache" / kept.name)
    assert suite_file("vbench") == tmp_path / "cache" / kept.name


def test_an_unknown_suite_is_refused():
    with pytest.raises(ValueError, match="no suite 'nothing'"):
        find_suite("nothing")
