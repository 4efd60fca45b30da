"""When things happen in a film, from small frames at its own rate: the camera's motion, onsets, and the borders of its shots."""
