"""One clip from the web by yt-dlp: only its ten seconds, and in one word why not."""

import contextlib
import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echoframe.data.clip_list import CLIP_S, ClipRow
from echoframe.errors import InputError
from echoframe.optional import require_extra

YOUTUBE = "https://www.youtube.com/watch?v={id}"
# the smallest picture of 360 lines or more, with the best sound
FORMAT = "bv[height>=360]+ba/b[height>=360]/bv*+ba/b"
_SORT = ["+height", "vcodec:h264", "+vbr", "abr"]
_ENCODING = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac", "-b:a", "192k"]
TIMEOUT_S = 30  # without a byte
# reason of the ledger: what yt-dlp says. The first that is found counts.
_SAID = {
    "private": r"private video|members-only|join this channel|granted access|requires payment",
    "age": r"confirm your age|age-restricted|inappropriate for some users",
    "blocked": r"not a bot|confirm you.re not|HTTP Error 403|login required|cookies",
    "rate-limited": r"HTTP Error 429|too many requests|rate.?limit|try again later",
    "region": r"in your country|your location|geo.?restrict|blocked it in",
    "copyright": r"copyright",
    "no-video": r"no video formats|requested format is not available|only images are available",
    "removed": r"video unavailable|video is (no longer|not|un)\s*available|isn.t available|has been removed|terminated|"
    r"does not exist|HTTP Error (404|410)|incomplete YouTube ID",
    "network": r"timed? ?out|connection|resolve|name resolution|unreachable|HTTP Error 5\d\d|reset by peer|incomplete|"
    r"SSL|EOF|remote end|ffmpeg exited|bytes read|unable to download",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchOptions:
    """What is passed on to yt-dlp. url: the address of a clip, {id} standing for its YouTube id.

    sleep_s: before every download. cookies: a Netscape cookie file; cookies_from: a browser's name. format: yt-dlp's
    own words for which streams to take.
    """

    url: str = YOUTUBE
    format: str = FORMAT
    cookies: Path | None = None
    cookies_from: str | None = None
    proxy: str | None = None
    sleep_s: float = 0.0


class Unfetched(Exception):
    """A clip that could not be had. reason: one of the ledger's REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


Fetch = Callable[[ClipRow, Path], Path]


def reason_of(message: str) -> str:
    """The ledger's word for what yt-dlp said; "unknown" for what was never met.

    >>> reason_of("ERROR: [youtube] x: Sign in to confirm you’re not a bot. Use --cookies")
    'blocked'
    """
    found = (reason for reason, words in _SAID.items() if re.search(words, message, re.IGNORECASE))
    return next(found, "unknown")


def check_options(options: FetchOptions) -> None:
    """Raises InputError for a cookie file that is not there or an address without the id, before anything is fetched."""
    if options.cookies is not None and not options.cookies.is_file():
        raise InputError(f"{options.cookies}: no such cookie file; export your browser's as a Netscape cookies.txt")
    if "{id}" not in options.url:
        raise InputError(f"{options.url}: an address without {{id}}; put {{id}} where the YouTube id belongs")


def fetcher(options: FetchOptions) -> Fetch:
    """The function that fetches one clip into a folder, by yt-dlp and the FFmpeg of imageio-ffmpeg.

    It gives the path of KEY.mp4 and raises Unfetched. It may be called from several threads.
    """
    check_options(options)
    yt_dlp = require_extra("yt_dlp")
    ffmpeg = require_extra("imageio_ffmpeg").get_ffmpeg_exe()
    cookies = options.cookies.read_text() if options.cookies else None

    def fetch(row: ClipRow, folder: Path) -> Path:
        settings = _settings(options, row, folder) | {"ffmpeg_location": ffmpeg}
        # a copy for each download: yt-dlp writes the file again when it ends
        settings["cookiefile"] = io.StringIO(cookies) if cookies is not None else None
        settings["download_ranges"] = yt_dlp.utils.download_range_func(None, [(row.start_s, row.start_s + CLIP_S)])
        # ffmpeg_location alone is not asked when yt-dlp chooses what downloads a part of a film; threads have their own
        yt_dlp.postprocessor.FFmpegPostProcessor._ffmpeg_location.set(ffmpeg)
        try:
            with contextlib.closing(yt_dlp.YoutubeDL(settings)) as downloader:
                downloader.download([options.url.format(id=row.youtube_id)])
        except (yt_dlp.utils.YoutubeDLError, OSError) as error:
            message = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")
            raise Unfetched(reason_of(message), message) from error
        found = [path for path in folder.glob(f"{row.key}.*") if path.suffix not in (".part", ".ytdl")]
        if len(found) != 1:
            raise Unfetched("unknown", f"yt-dlp left {len(found)} files")
        return found[0]

    return fetch


def _settings(options: FetchOptions, row: ClipRow, folder: Path) -> dict[str, object]:
    return {
        "format": options.format,
        "format_sort": _SORT,
        "merge_output_format": "mp4",
        "outtmpl": {"default": f"{str(folder / row.key).replace(chr(37), chr(37) * 2)}.%(ext)s"},
        "force_keyframes_at_cuts": True,  # else the cut is at the keyframe before
        "external_downloader_args": {"ffmpeg_i": ["-rw_timeout", str(TIMEOUT_S * 1_000_000)], "ffmpeg_o": _ENCODING},
        "socket_timeout": TIMEOUT_S,
        "retries": 0,  # trying again is the run's own, with all workers in step
        "extractor_retries": 0,
        "cookiesfrombrowser": (options.cookies_from,) if options.cookies_from else None,
        "proxy": options.proxy,
        "sleep_interval": options.sleep_s,
        "noplaylist": True,
        "overwrites": True,
        "updatetime": False,
        "cachedir": False,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Quiet(),
    }


class _Quiet:
    """yt-dlp's words, for whoever looks at debugging output: its errors are raised as well."""

    def debug(self, message: str) -> None:
        logging.getLogger(__name__).debug(message)

    info = warning = error = debug
