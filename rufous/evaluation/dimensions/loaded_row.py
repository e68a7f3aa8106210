"""A dimension with its networks loaded."""

from dataclasses import dataclass

from rufous.evaluation.dimensions.dimension import Dimension


@dataclass(frozen=True)
class LoadedRow:
    """A row ready to measure, and what its networks are: figures of others are not comparable."""

    dimension: Dimension
    identity: str = ""
    """Hashes of the files that it was loaded from; empty without networks."""
    is_large: bool = False
    """Whether its networks are too large for a copy in every process."""

    @property
    def key(self) -> str:
        """What a score depends on beside its clip."""
        return f"{self.dimension.version} {self.identity}"
