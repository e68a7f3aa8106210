"""Every stage by its name: one line of ``STAGES`` adds one."""

from rufous.data.stage import SetStage, Stage
from rufous.data.stages.probe import Probe

STAGES: dict[str, type[Stage] | type[SetStage]] = {
    Probe.name: Probe,
}
"""What presets and the command line choose from; each is made with its default settings."""
