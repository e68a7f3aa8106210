"""Stages of curation: each measures, cuts or describes clips; filters decide later.

* ``aesthetic`` - LAION's aesthetic predictors over CLIP embeddings.
* ``match`` - how well frames and caption belong together, by CLIP.
* ``dover`` - DOVER's technical, aesthetic and overall quality; weights not for commercial use.
* ``describe`` - captions by a vision-language model, at an endpoint or on this machine.
* ``rewrite`` - captions made one clean sentence by a language model, checked, the original kept.
"""
