"""Photos through a network: read in threads, predicted in batches, written in threads, never more than a few at once.

Memory depends on the batch size, the threads and the largest photo, not on the number of photos.

One runnable line: see :mod:`seglab.predict`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from seglab.data.files import read_image
from seglab.predicting.inputs import Photo
from seglab.predicting.output import Output
from seglab.predicting.write import write_results

if TYPE_CHECKING:
    from torch import Tensor

    from seglab.predicting.maps import Maps

log = logging.getLogger(__name__)

_SPEAK_S = 60
"""Seconds between two lines of a log that is no terminal."""


def read_small(photo: Photo, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """A photo as the network sees it: what training and evaluation do to it.

    Returns:
        uint8 [3,S,S], resized with Pillow's bilinear filter; height and width of the upright photo.

    Raises:
        ValueError: the file cannot be read.
    """
    image = read_image(photo.path)
    height, width = image.shape[:2]
    if (height, width) != (size, size):
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(image.transpose(2, 0, 1)), (height, width)


def predict_photos(
    photos: Sequence[Photo],
    maps: Maps,
    output: Output,
    *,
    threshold: float | str,
    batch_size: int,
    flip: bool,
    workers: int,
    progress: bool = True,
) -> list[str]:
    """Predict and write all photos.

    Args:
        photos: what to predict.
        maps: the network with its read-out.
        output: where results go.
        threshold: of masks and overlays.
        batch_size: photos a batch.
        flip: average with the map of the mirrored photo.
        workers: threads that read, and as many that write; 0 counts as 1.
        progress: a progress bar, on a terminal only.

    Returns:
        One line with file and reason for each photo that could not be read or predicted; all others are written.

    Raises:
        ValueError: results cannot be written; the message says how far it came.
    """
    import torch

    threads = max(1, workers)
    readers, writers = ThreadPoolExecutor(threads), ThreadPoolExecutor(threads)
    failures: list[str] = []
    board = _Board(len(photos), progress)
    writing: deque[tuple[Photo, Future]] = deque()

    def write(photo: Photo, map_SS: Tensor, size: tuple[int, int]) -> None:
        write_results(photo, map_SS, size, output.files(photo), threshold, read_out=getattr(maps, "read_out", None))
        output.done(photo)

    def settle(at_most: int) -> None:
        while len(writing) > at_most:
            _result(*writing.popleft(), failures, output, board)
            board.count()

    try:
        ahead = _ahead(photos, readers, lambda photo: read_small(photo, maps.size), batch_size + threads)
        for batch in _batches(ahead, batch_size, failures, output, board):
            images = torch.from_numpy(np.stack([small for _, small, _ in batch]))
            for (photo, _, size), map_SS in zip(batch, mean_maps(maps, images, flip=flip), strict=True):
                writing.append((photo, writers.submit(write, photo, map_SS, size)))
            settle(batch_size)
        settle(0)
    finally:
        # Also on a signal: what is begun is finished, what waits is dropped.
        readers.shutdown(wait=True, cancel_futures=True)
        writers.shutdown(wait=True, cancel_futures=True)
        board.close()
    return failures


def mean_maps(maps: Maps, images: Tensor, *, flip: bool) -> Tensor:
    """Maps of a batch, float32 [B,S,S], or scores [B,K,S,S]; with ``flip`` the mean with those of mirrored images."""
    straight = maps(images)
    return (straight + maps(images.flip(-1)).flip(-1)) / 2 if flip else straight


def _ahead(
    photos: Sequence[Photo], pool: ThreadPoolExecutor, read: Callable[[Photo], tuple], depth: int
) -> Iterator[tuple[Photo, Future]]:
    """Photos in order with their reading under way, ``depth`` of them at a time."""
    source = iter(photos)
    queue = deque((photo, pool.submit(read, photo)) for photo in islice(source, depth))
    while queue:
        yield queue.popleft()
        queue.extend((photo, pool.submit(read, photo)) for photo in islice(source, 1))


def _batches(
    ahead: Iterator[tuple[Photo, Future]], size: int, failures: list[str], output: Output, board: _Board
) -> Iterator[list[tuple[Photo, np.ndarray, tuple[int, int]]]]:
    """Readable photos, ``size`` at a time; the others are noted and passed over."""
    batch = []
    for photo, future in ahead:
        try:
            small, original = future.result()
        except ValueError as error:
            _note(photo, error, failures, output)
            board.count()
            continue
        batch.append((photo, small, original))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _note(photo: Photo, error: ValueError, failures: list[str], output: Output) -> None:
    """Note a photo that could not be predicted; the error names it."""
    failures.append(str(error))
    try:
        output.drop(photo)
    except OSError as fault:
        raise ValueError(f"output={output.folder}: cannot be written ({fault.strerror or fault})") from fault


def _result(photo: Photo, future: Future, failures: list[str], output: Output, board: _Board) -> None:
    """Take note of one photo's writing; a place that cannot be written ends the command."""
    try:
        future.result()
    except ValueError as error:
        _note(photo, error, failures, output)
    except OSError as error:
        raise ValueError(
            f"output={output.folder}: cannot be written ({error.strerror or error}) after {board.done} of "
            f"{board.total} photos; what is there is whole: make room, then start the same command to go on"
        ) from error


class _Board:
    """How far it is: a bar on a terminal, else a line a minute."""

    def __init__(self, total: int, progress: bool) -> None:
        self.done, self.total = 0, total
        self._bar = tqdm(total=total, desc="predict", unit="img", disable=None if progress else True)
        self._next = time.monotonic() + _SPEAK_S

    def count(self) -> None:
        self.done += 1
        self._bar.update()
        if self._bar.disable and time.monotonic() > self._next:
            log.info("%d of %d photos", self.done, self.total)
            self._next = time.monotonic() + _SPEAK_S

    def close(self) -> None:
        self._bar.close()
