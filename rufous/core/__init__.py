"""Ground floor: what every other package may use, and what imports none of them.

* ``types`` - Conditioning, the one thing that conditions a network.
* ``config`` - frozen dataclasses to and from JSON, and ``key=value`` overrides.
* ``errors`` - the three exceptions of the project.
* ``optional`` - imports of packages that an extra brings.
* ``randomness`` - generators from seeds and names.
* ``devices`` - choice of device and dtype, autocast, memory and time, measured peak rates.
* ``threads`` - one thread for processes that share a machine.
* ``console`` - logging for libraries, one handler for apps.
* ``files`` - atomic writes and hashes.
* ``bar_chart`` - bar charts as SVG.
* ``html_page`` - reports as one HTML file.
"""

from rufous.core.config import from_json_dict, override, to_json_dict
from rufous.core.errors import CheckpointError, ConfigError, MissingDependencyError
from rufous.core.types import Conditioning

__all__ = [
    "CheckpointError",
    "Conditioning",
    "ConfigError",
    "MissingDependencyError",
    "from_json_dict",
    "override",
    "to_json_dict",
]
