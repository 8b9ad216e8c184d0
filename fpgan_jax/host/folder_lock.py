"""Owns the lock that lets one process at a time write into a folder."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator

from fpgan_jax.errors import UserError

# Not the package filelock: it does not say who holds a lock, leaves its file behind, and on a file system without locks
# either fails or puts up a marker that outlives a killed process.
LOCK_FILENAME = ".lock"


@contextlib.contextmanager
def hold_folder(folder: str, *, is_holder: bool = True) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if missing, within a `with` block.

    The operating system releases the lock when its holder ends, in whatever way. On a file system without locks, no
    process is kept out. With `is_holder=False` nothing happens, for processes that work beside the holder.

    Raises:
      UserError: another process holds it, or it cannot be written to.
    """
    if not is_holder:
        yield
        return
    try:
        os.makedirs(folder, exist_ok=True)
        file = _lock(os.path.join(folder, LOCK_FILENAME))
    except BlockingIOError as error:
        raise UserError(
            f"{folder}: another process{_describe_holder(folder)} is at work here; wait for it, stop it, or use "
            "another folder"
        ) from error
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror})") from error
    try:
        yield
    finally:
        # Removed while we hold it, so that it is ours.
        with contextlib.suppress(OSError):
            os.remove(os.path.join(folder, LOCK_FILENAME))
        file.close()


def _lock(path: str):
    while True:
        # Not truncated on opening: it may be another's, and says who that is.
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:
                return file
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:
                    file.truncate(0)
                    file.write(f"{os.getpid()} {socket.gethostname()}\n")
                    file.flush()
                    return file
        except BaseException:
            # Also on Ctrl-C: a file left open would keep its lock as long as the process lives.
            file.close()
            raise
        # Its last holder has removed it since it was opened, so that no other process finds the locked file.
        file.close()


def _describe_holder(folder: str) -> str:
    with (
        contextlib.suppress(OSError, ValueError),
        open(os.path.join(folder, LOCK_FILENAME), encoding="utf-8") as file,
    ):
        pid, host = file.read().split()
        return f" ({int(pid)} on {host})"
    return ""
