"""Every stage by its name: one line of ``STAGES`` adds one."""

from rufous.data.stage import SetStage, Stage

STAGES: dict[str, type[Stage] | type[SetStage]] = dict()
"""What presets and the command line choose from; each is made with its default settings."""
