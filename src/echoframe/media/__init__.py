"""Files to arrays and back: videos, still images and sounds; what stands between a codec and a tensor."""
