"""Shards: thousands of images in one file or folder that appears whole or not at all, with its manifest.

webdataset and every other program read "tar"; grain and TFDS read "array_record" at random places, with a PNG file per
record; "png" is a folder of files, which `launch.evaluate` reads too. A shard's manifest is beside it, `SHARD.csv`; in
a folder it is `manifest.csv`. A shard never exists without its manifest.
"""

import contextlib
import errno
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator

from fpgan_jax.data.impression_folder import MANIFEST_FILENAME
from fpgan_jax.host.whole_file import write_whole

FORMATS = ("tar", "array_record", "png")
# Records are read one by one, and PNG is already compressed.
_ARRAY_RECORD_OPTIONS = "group_size:1,uncompressed"
# Some tens of images per call of the system.
_TAR_BUFFER_BYTES = 2**20
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def locate_shard(out_dir: str, index: int, file_format: str) -> str:
    """Return the path of a shard: a folder for "png", otherwise a file."""
    ending = "" if file_format == "png" else f".{file_format}"
    return os.path.join(out_dir, f"shard-{index:06d}{ending}")


def remove_shard(out_dir: str, index: int, file_format: str) -> None:
    """Remove a shard, its manifest last, if it is there."""
    path = locate_shard(out_dir, index, file_format)
    if file_format == "png":
        with contextlib.suppress(FileNotFoundError):
            # Under its own name it would look complete while it is being emptied.
            os.rename(path, f"{path}.tmp")
        shutil.rmtree(f"{path}.tmp", ignore_errors=True)
        return
    for name in (path, _locate_manifest(path)):
        with contextlib.suppress(FileNotFoundError):
            os.remove(name)


@contextlib.contextmanager
def write_shard(
    out_dir: str, index: int, file_format: str, write_manifest: Callable[[str], None]
) -> Iterator[Callable[[str, bytes], None]]:
    """Open a shard that takes its name only once everything is written.

    Args:
      out_dir: the folder of all.
      index: the shard's number, from 0.
      file_format: one of `FORMATS`.
      write_manifest: writes the manifest to a path; called at the end.

    Yields:
      A function that adds a file: (name, content).

    Raises:
      OSError: for example, the disk is full; nothing of the shard is left.
    """
    path = locate_shard(out_dir, index, file_format)
    if file_format == "png":
        with _write_folder(path) as folder:
            yield lambda name, content: _write_file(os.path.join(folder, name), content)
            write_manifest(os.path.join(folder, MANIFEST_FILENAME))
        return
    try:
        opened = _write_tar(path) if file_format == "tar" else _write_array_record(path)
        with opened as add:
            yield add
            write_manifest(_locate_manifest(path))
    except BaseException:
        # Without its shard, a manifest would name images that do not exist.
        with contextlib.suppress(OSError):
            os.remove(_locate_manifest(path))
        raise


def _locate_manifest(path: str) -> str:
    return f"{os.path.splitext(path)[0]}.csv"


def _write_file(path: str, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)


@contextlib.contextmanager
def _write_folder(path: str) -> Iterator[str]:
    temporary = f"{path}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    os.mkdir(temporary)
    try:
        yield temporary
        os.rename(temporary, path)
    except BaseException:
        # On a full disk half a shard would take up the remaining space.
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def _write_tar(path: str) -> Iterator[Callable[[str, bytes], None]]:
    with (
        write_whole(path, "wb", buffering=_TAR_BUFFER_BYTES) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):

        def add(name: str, content: bytes) -> None:
            # Without a time or an owner: the same images are the same bytes.
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        yield add


@contextlib.contextmanager
def _write_array_record(path: str) -> Iterator[Callable[[str, bytes], None]]:
    # Imported here, since it does not exist for every system.
    from array_record.python import array_record_module

    with write_whole(path, "wb") as file:
        try:
            writer = array_record_module.ArrayRecordWriter(file.name, _ARRAY_RECORD_OPTIONS)

            def add(name: str, content: bytes) -> None:
                del name  # the manifest's
                writer.write(content)
                if not writer.ok():
                    writer.close()  # raises the error

            try:
                yield add
            finally:
                writer.close()
        except RuntimeError as error:
            raise _to_os_error(error, file.name) from error


def _to_os_error(error: RuntimeError, path: str) -> Exception:
    """Turn ArrayRecord's message of a system's error back into that error; return others as they are."""
    for number in _DISK_ERRORS:
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number), path)
    return error
