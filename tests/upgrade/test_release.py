"""What `release.toml` says of the last release, beside what git has."""

from pathlib import Path

import pytest

from tests.upgrade import release
from tests.upgrade.installation import unpack_release

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only


def test_migrations_are_those_of_the_commit(tmp_path: Path) -> None:
    """Those after them are what the check of migrations judges."""
    unpack_release(tmp_path)
    named = release.read_release()
    assert named.migrations == release.list_migrations(named.commit)


def test_last_migration_of_each_app_is_found() -> None:
    paths = ["a/migrations/0002_b.py", "a/migrations/0001_c.py", "a/migrations/__init__.py", "b/models.py"]
    assert release.last_of_each_app(paths) == {"a": "0002_b"}


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_its_commit_the_test_is_skipped_but_fails_in_ci(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    with pytest.raises(outcome, match="needs a full clone"):
        unpack_release(tmp_path)


def test_other_versions_than_installed_are_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "# why\n-c constraints.txt\ndjango[argon2]==1.0\nno-such-thing==2.0 # x\n"
    )
    found = release.list_other_versions(tmp_path)
    assert [one.partition(" (")[0] for one in found] == ["django 1.0", "no-such-thing 2.0"]
