"""Reading a source in a thread of its own: always the newest image, and back again after a loss."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from fabg.perception.sources import ImageSource
from fabg.perception.types import Frame


@dataclass(frozen=True)
class News:
    """What a reader has to tell.

    Attributes
    ----------
    frame
        The newest image, if there is a new one.
    ended
        True after the last image; nothing follows.
    trouble
        Why there are no images just now; the reader goes on trying.
    passed_over
        Images that the source has passed over so far.
    truncated
        True when the source is known to have ended before its announced end.
    """

    frame: Frame | None = None
    ended: bool = False
    trouble: str = ""
    passed_over: int = 0
    truncated: bool = False


class NewestReader:
    """Reads until the end of the source or until stopped.

    Parameters
    ----------
    source
        What to read; the reader closes it.
    reopen
        Opens the source anew after a loss.
    on_news
        Called in the reader's thread when `take` has something new.
    stopping
        Set to end the reader; sources may wait on it.
    retry_first_s, retry_most_s
        Wait before a lost source is opened again; doubles up to the second value, s.
    """

    def __init__(
        self,
        source: ImageSource,
        reopen: Callable[[], ImageSource],
        on_news: Callable[[], object],
        *,
        stopping: threading.Event,
        retry_first_s: float = 0.25,
        retry_most_s: float = 5.0,
    ) -> None:
        self._source: ImageSource | None = source
        self._reopen, self._on_news, self._stopping = reopen, on_news, stopping
        self._retry_s = retry_first_s, retry_most_s
        self._lock = threading.Lock()
        self._news: News | None = None
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, patience_s: float = 5.0) -> None:
        """End the thread; a device that blocks longer than `patience_s` ends with the process."""
        self._stopping.set()
        self._thread.join(patience_s)

    def take(self) -> News | None:
        """Return what is new since the last call."""
        with self._lock:
            news, self._news = self._news, None
        return news

    def _tell(self, news: News) -> None:
        with self._lock:
            # An image not taken in time gives way to a newer one, but never to the end alone.
            if news.ended and self._news is not None:
                news = replace(news, frame=self._news.frame)
            self._news = news
        if not self._stopping.is_set():
            self._on_news()

    def _read(self) -> None:
        wait_s, most_s = self._retry_s
        while not self._stopping.is_set():
            try:
                self._source = self._source or self._reopen()
                frame = self._source.read()
            except Exception as error:  # whatever a driver throws: it is told, counted, tried again
                self._close()
                self._tell(News(trouble=str(error) or type(error).__name__))
                self._stopping.wait(wait_s)
                wait_s = min(wait_s * 2.0, most_s)
                continue
            wait_s = self._retry_s[0]
            source = self._source
            self._tell(News(frame, frame is None, "", source.dropped, source.truncated))
            if frame is None:
                break
        self._close()

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
