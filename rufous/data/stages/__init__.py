"""The stages of curation: each measures, cuts or describes one clip.

* ``flow`` - how fast the picture moves: optical flow by DIS, or by RAFT.
* ``smoothness`` - how well every second frame is guessed from its neighbours.
* ``camera`` - how the camera moves: static, pan, tilt, zoom, roll, dolly zoom.
* ``text_area`` - how much of the picture is text.
* ``watermark`` - what stands still in a corner while the picture moves.
"""
