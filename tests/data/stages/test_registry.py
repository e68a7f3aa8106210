"""Every stage is there, under its own name."""

import dataclasses
import importlib
import inspect
from pathlib import Path

import pytest

import rufous.data.stages
from rufous.core.config import override
from rufous.data.clip import Clip
from rufous.data.filters import value_of
from rufous.data.media import ClipMedia
from rufous.data.presets import PRESETS
from rufous.data.stage import Declares, NeedsFiles, ReadsWeights, SetStage, Stage, settings_key
from rufous.data.stages.probe import Probe
from rufous.data.stages.registry import STAGES
from tests.data.drawings import held
from tests.data.tiny_clips import noise

FOLDER = Path(rufous.data.stages.__file__).parent
DOCS = Path(__file__).parents[3] / "docs"


def test_every_stage_that_is_written_can_be_chosen():
    found = set()
    for path in FOLDER.glob("*.py"):
        module = importlib.import_module(f"rufous.data.stages.{path.stem}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and {"name", "after", "version"} <= set(vars(kind)):
                found.add(kind)
    assert found == set(STAGES.values())


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_its_name_its_hash_and_a_place_in_the_docs(name):
    stage = STAGES[name]()
    assert stage.name == name
    assert isinstance(stage, Stage) != isinstance(stage, SetStage)
    assert isinstance(stage, Declares)
    assert set(stage.after) <= set(STAGES)
    assert settings_key(stage) == settings_key(STAGES[name]())
    assert type(stage).__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert override(stage, []) == stage
    if isinstance(stage, NeedsFiles):
        assert stage.missing() is None or len(stage.missing() or "") > 10
    assert any(f"`{name}`" in page.read_text(encoding="utf-8") for page in DOCS.glob("curation*.md"))
    for setting in dataclasses.fields(stage):
        assert setting.default is not dataclasses.MISSING or (
            setting.default_factory is not dataclasses.MISSING
        )


def test_stages_with_published_weights_name_their_files():
    found = {name for name, kind in STAGES.items() if isinstance(kind(), ReadsWeights)}
    assert found == {"dover", "aesthetic", "flow_raft", "smoothness_amt", "match", "video_match"}


def test_presets_name_stages_that_there_are():
    for preset in PRESETS.values():
        assert {step for step in preset.steps if isinstance(step, str)} <= set(STAGES)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "borders",
            "still",
            "flashing",
            "technical",
            "flow",
            "smoothness",
            "camera",
            "watermark",
            "text_area",
        ),
        "fingerprint",
    ],
)
def test_a_stage_finds_what_it_declares(name):
    pytest.importorskip("cv2")
    stage = STAGES[name]()
    (clip,) = stage.process(held(noise(height=64, width=96)))
    assert {*clip.scores, *clip.info} == set(stage.gives.numbers)
    for tag in clip.tags if name != "fingerprint" else ():
        assert clip.tags[tag] in stage.gives.tags[tag]


def test_copies_and_files_have_what_their_stages_declare(write_clip):
    clip = Clip(source="a.mkv", media=ClipMedia(write_clip("a.mkv")))
    (probed,) = Probe().process(clip)
    assert {name for name in probed.info if value_of(probed, name) is not None} == set(Probe.gives.numbers)
    stage = STAGES["duplicates"]()
    (looked,) = STAGES["fingerprint"]().process(probed)
    (found,) = stage.process_all([looked])
    assert set(found.scores) == set(stage.gives.numbers)
    assert found.tags["duplicates"] in stage.gives.tags["duplicates"]
