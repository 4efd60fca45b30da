"""When things happen in a film, seen in small frames at its own rate.

`watch` finds the onsets and the borders of the shots; the other modules are its parts.
"""
