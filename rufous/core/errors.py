"""The exceptions of the project; everything else that is wrong with an argument is a ``ValueError``."""


class ConfigError(ValueError):
    """A configuration contradicts itself, its override names no field, or it does not fit the weights."""


class CheckpointError(RuntimeError):
    """A checkpoint or release is missing, damaged, unsafe, or not the one a run began with."""


class MissingWeightsError(CheckpointError):
    """No file lies where weights are looked for; what lies there and is wrong is a ``CheckpointError``."""


class MissingDependencyError(ImportError):
    """A package that an optional extra brings is not installed."""


class RunStoppedError(RuntimeError):
    """A signal or a time limit ended a run before its last step; it is saved and can go on."""
