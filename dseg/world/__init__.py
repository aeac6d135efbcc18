"""The embedded world: small captioned scenes drawn by program, so that dseg runs without downloads.

`renderer.captioned_images` feeds the training of the base model and returns no masks;
`renderer.annotated_scenes` is for the evaluation splits alone (`splits`). Nothing is re-exported
here, so that importing one part of the world does not pull in the other.
"""
