"""Backups on disk: one folder each, with the database's file and the manifest, that appears only when it is complete.

A backup is written into a hidden folder, checked, flushed to the disk and then renamed. So what has the name of a
backup is one, whenever the process is killed.
"""

import contextlib
import datetime as dt
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .contents import FORMAT, Kind, Manifest
from .errors import BackupError

FILES: dict[Kind, str] = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
MANIFEST = "manifest.json"
_NAME = re.compile(r"stepper-\d{8}T\d{6}\.\d{6}Z")
_UNFINISHED = re.compile(r"\.stepper-.*\.unfinished")


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Have files made meanwhile readable by their owner only, also those of programs that are started."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def locked(path: Path, refusal: BackupError) -> Iterator[None]:
    """Hold the lock file `path`; raise `refusal` if another process does. The lock ends with its process."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise refusal from error
        yield


def begin(folder: Path, made_at: dt.datetime) -> Path:
    """Make the hidden folder of a new backup; remove those of backups that were killed. `folder` is locked."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path)
    unfinished = folder / f".{made_at:stepper-%Y%m%dT%H%M%S.%fZ}.unfinished"
    unfinished.mkdir(mode=0o700)
    return unfinished


def complete(unfinished: Path, manifest: Manifest) -> Path:
    """Write the manifest, flush everything to the disk and give the backup its name; return its folder."""
    path = unfinished / MANIFEST
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    for one in (unfinished / FILES[manifest.database], path, unfinished):
        flush(one)
    finished = unfinished.with_name(unfinished.name.removeprefix(".").removesuffix(".unfinished"))
    unfinished.rename(finished)
    flush(finished.parent)
    return finished


def read_manifest(backup: Path) -> Manifest:
    """Read what a backup says of itself.

    Raises:
        BackupError: backup.damaged, it is no backup or its manifest cannot be read; backup.newer_release.
    """
    try:
        text = (backup / MANIFEST).read_bytes()
        if msgspec.json.decode(text).get("format", 0) > FORMAT:
            raise BackupError("backup.newer_release", f"{backup} was made by a newer release: install that one first.")
        return msgspec.json.decode(text, type=Manifest)
    except (OSError, msgspec.MsgspecError, AttributeError, TypeError) as error:
        raise BackupError("backup.damaged", f"{backup} is not a complete backup: {error}") from error


def require_digest(manifest: Manifest, file: Path) -> None:
    """Compare size and SHA-256 of the database's file with the manifest. Raises BackupError (backup.damaged)."""
    try:
        size, digest = file.stat().st_size, sha256(file)
    except OSError as error:
        raise BackupError("backup.damaged", f"{file} cannot be read: {error.strerror}") from error
    if (size, digest) != (manifest.size, manifest.sha256):
        raise BackupError(
            "backup.damaged", f"{file} is not what was written: its size or SHA-256 differs. Use another."
        )


def rotate(folder: Path, source: str, keep: int) -> list[str]:
    """Delete all but the newest `keep` backups of a database (0: delete none); return the names deleted.

    What is no backup, or of another database, is left alone.
    """
    ours = []
    for path in sorted(folder.iterdir(), reverse=True):
        if _NAME.fullmatch(path.name):
            with contextlib.suppress(BackupError):
                if read_manifest(path).source == source:
                    ours.append(path)
    deleted = ours[keep:] if keep else []
    for path in deleted:
        # A deletion that is killed in the middle must not leave what looks like a backup.
        hidden = path.rename(path.with_name(f".{path.name}.unfinished"))
        shutil.rmtree(hidden)
    return [path.name for path in deleted]


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
