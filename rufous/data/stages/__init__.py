"""The stages of curation: each measures, cuts or describes one clip, and drops none for its scores.

* ``registry`` - every stage by its name.
* ``probe`` - what a file says, its content id, and whether it can be read.
* ``shots`` - a source split into its shots, at cuts and gradual transitions.
* ``cut`` - each clip as a file of its own, copied without loss where it starts on a key frame.
* ``fingerprint`` - what a clip looks like in some hundred bytes, for ``duplicates``.
* ``duplicates`` - copies among all clips: exact, re-encoded, scaled or cropped.
* ``borders`` - black bars, and the rectangle within them.
* ``still`` - frames that repeat the one before.
* ``flashing`` - large swings of brightness back and forth.
* ``technical`` - sharpness, exposure, noise and traces of coding, and one score joined from them.
* ``flow`` - how fast the picture moves: optical flow by DIS, or by RAFT.
* ``smoothness`` - how well every second frame is guessed from its neighbours.
* ``camera`` - how the camera moves: static, pan, tilt, zoom, roll, dolly zoom.
* ``text_area`` - how much of the picture is text.
* ``watermark`` - what stands still in a corner while the picture moves.
* ``aesthetic`` - LAION's aesthetic predictors over CLIP embeddings.
* ``match`` - how well frames and caption belong together, by CLIP.
* ``video_match`` - the same for the whole clip, by a video-text model of a release.
* ``dover`` - DOVER's technical, aesthetic and overall quality; weights not for commercial use.
* ``describe`` - captions by a vision-language model, at an endpoint or on this machine.
* ``rewrite`` - captions made one clean sentence by a language model, checked, the original kept.
"""
