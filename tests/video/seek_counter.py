"""A container that counts how often it is asked to seek."""


class SeekCounter:
    """Decodes and seeks as the container does."""

    def __init__(self, container):
        self.container, self.decode, self.num_seeks = container, container.decode, 0

    def seek(self, offset, *, stream):
        self.num_seeks += 1
        self.container.seek(offset, stream=stream)
