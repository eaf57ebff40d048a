"""Opens a bag of any format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from ...core.errors import DataError
from .file import BagFile, damaged, open_reader
from .layout import bag_files
from .realsense import RecorderBag, is_recording

AnyBag: TypeAlias = BagFile | RecorderBag


@contextmanager
def open_bag(path: Path) -> Iterator[AnyBag]:
    """Open a bag: a folder, or one file of ROS 2 (.mcap, .db3, those as .zstd) or ROS 1 (.bag).

    Raises:
        DataError: the bag is damaged.
    """
    with ExitStack() as stack:
        try:
            whole = (path / "metadata.yaml").is_file()
            files = [path] if whole or path.is_file() else bag_files(path)
            readers = [stack.enter_context(open_reader(file, stack)) for file in files]
        except DataError:
            raise
        except Exception as error:  # damaged files surface as many types
            raise damaged(path, error) from error
        bag = BagFile(path, readers)
        yield RecorderBag(bag) if is_recording(bag.types) else bag
