"""The last release: its commit, its migrations, and its code from git.

`release.toml` names it. After a release `python -m tests.upgrade.release COMMIT` (or a tag) moves it there: from then
on the upgrade test starts from that commit, and `tests.upgrade.compatibility` checks the migrations added since.
"""

import argparse
import io
import subprocess
import tarfile
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("release.toml")
_TEXT = """\
# The last release: an upgrade from it must work while it serves. Written by `python -m tests.upgrade.release COMMIT`.
commit = "{commit}"

# The last migration of each app in it: those after it are what an upgrade applies.
[migrations]
{migrations}
"""


class NotInGit(Exception):
    """The release's commit cannot be read: no git, no repository, or one that does not go back so far."""


class Release(NamedTuple):
    """`migrations`: app -> the name of the last migration it has in the release."""

    commit: str
    migrations: dict[str, str]


def read_release() -> Release:
    """Return the release that `release.toml` names."""
    found = tomllib.loads(FILE.read_text())
    return Release(found["commit"], found["migrations"])


def run_git(*arguments: str) -> bytes:
    """Return what git prints. Raises NotInGit if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise NotInGit("git is not installed") from None
    if done.returncode:
        raise NotInGit(done.stderr.decode(errors="replace").strip())
    return done.stdout


def unpack(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder. Raises NotInGit."""
    with tarfile.open(fileobj=io.BytesIO(run_git("archive", "--format=tar", commit))) as files:
        # Since 3.11.4; later ones warn where none is named.
        files.extraction_filter = getattr(tarfile, "data_filter", None)
        files.extractall(folder)  # noqa: S202


def list_migrations(commit: str) -> dict[str, str]:
    """Return the last migration of each app in a commit. Raises NotInGit."""
    return last_of_each_app(run_git("ls-tree", "-r", "--name-only", commit).decode().splitlines())


def last_of_each_app(paths: Iterable[str]) -> dict[str, str]:
    """Return app -> name of its last migration, for the migrations among the paths of files."""
    last: dict[str, str] = {}
    for path in sorted(map(PurePosixPath, paths)):
        if len(path.parts) == 3 and path.parts[1] == "migrations" and path.name[:1].isdigit():
            last[path.parts[0]] = path.stem
    return last


def list_other_versions(folder: Path) -> list[str]:
    """Return the packages that the code in a folder requires in another version than is installed here."""
    others = []
    for line in (folder / "requirements.txt").read_text().splitlines():
        name, pinned, wanted = line.partition("#")[0].strip().partition("==")
        name = name.partition("[")[0]
        try:
            installed = version(name) if pinned else wanted
        except PackageNotFoundError:
            installed = "nothing"
        if installed != wanted:
            others.append(f"{name} {wanted} (installed: {installed})")
    return others


def main() -> None:
    parser = argparse.ArgumentParser(description="Moves the last release, which the upgrade test starts from.")
    parser.add_argument("commit", help="a commit or tag of this repository")
    named = parser.parse_args().commit
    commit = run_git("rev-parse", "--verify", f"{named}^{{commit}}").decode().strip()
    migrations = "\n".join(f'{app} = "{name}"' for app, name in sorted(list_migrations(commit).items()))
    FILE.write_text(_TEXT.format(commit=commit, migrations=migrations))


if __name__ == "__main__":
    main()
