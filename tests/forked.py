"""Processes that have everything imported when they begin, for tests that kill them at moments of the work itself."""

import multiprocessing
from multiprocessing.context import ForkServerContext

# Not the tests themselves: Python 3.11's server is not told where they lie, and passes over what it does not find.
PRELOADED = [
    "pytest",
    "scipy.signal",
    "pyarrow.parquet",
    "yt_dlp",
    "imageio_ffmpeg",
    "transformers.models.clap.modeling_clap",
    "echoframe.data.download",
    "echoframe.data.fetch",
    "echoframe.data.extract",
    "echoframe.data.pack",
    "echoframe.apps.library",
    "echoframe.library.cluster",
    "echoframe.bundles.trained",
]


def ready_processes() -> ForkServerContext:
    """What makes such processes; all tests of a process share one server, which is ready now."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    first = context.Process(target=int)
    first.start()
    first.join()
    return context
