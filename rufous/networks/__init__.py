"""Networks with the published key names: weights load strictly, pruned variants are config values.

* ``unet3d`` - VideoCrafter2's 3D U-Net and its pruned variants.
* ``vae2d`` - frame-wise KL autoencoder of Stable Diffusion and VideoCrafter2.
* ``text_encoders`` - text tower in open_clip's key names, word and CLIP tokenizers.
* ``video_text`` - contrastive video-text model of the embedded world.
* ``layers`` - sinusoids, initial zeros, layouts, checkpointed calls.
"""
