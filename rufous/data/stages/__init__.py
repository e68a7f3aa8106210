"""The stages of curation: each measures, cuts or describes one clip, and drops none for its scores.

* ``registry`` - every stage by its name.
"""
