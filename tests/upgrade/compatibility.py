"""Whether servers of the last release can go on while the migrations added since are applied, and after them.

`make lint` runs it over the migrations that `release.toml` does not have. What it finds and cannot know to be harmless
is answered in the migration by a class attribute: `upgrade_reasons = {"trip.note": "why the old servers do not mind"}`.

Not found: what a value means. A new status in an old column, or null where there was none, is for the upgrade test.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import django
from django.contrib.postgres.operations import AddIndexConcurrently as PostgresAddIndexConcurrently
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models import NOT_PROVIDED

from stepper.db.postgresql.base import DatabaseWrapper
from tests.upgrade.release import read_release

APPS = ("stepper", "realtime", "drivers", "trips")
NEEDS_DB_DEFAULT = "needs db_default: the INSERTs of the last release do not name it, and it must not be null"
LEFT_BEHIND = "stays in the table, and no INSERT names it any more: let it be null, or give it a db_default, before"
GONE = "the last release still uses it: stop using it in this release, remove or rename it in the next"
INDEX = "is built while nobody can write to the table: use stepper.db.operations.AddIndexConcurrently"
CONSTRAINT = "what the last release writes may break it, which its users would see as a fault"
FOREIGN_KEY = (
    "refuses the last release to delete the row that it names: let it have db_constraint=False, and orphans pruned"
)
RELIED_ON = "the last release may rely on it"
COLUMN_TYPE = "the table is written anew under a lock, and what the last release writes may not fit"
BY_HAND = "cannot be judged: say what it does to rows that the last release reads and writes, and for how long it locks"
TABLES = (
    "changes {tables} in one transaction: who reads them in another order is caught in a deadlock; one migration each"
)
STALE = "upgrade_reasons answers what is not asked: remove it"


# Says what a field's column is there; it connects to nothing.
_POSTGRESQL: Any = DatabaseWrapper({"ENGINE": "stepper.db.postgresql", "NAME": "", "OPTIONS": {}})


class Problem(NamedTuple):
    """`key`: what answers it in `upgrade_reasons`."""

    where: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key} {self.text}"


class Steps:
    """Migrations on top of the last release, one operation after the other. `old`: its models."""

    def __init__(self, old: ProjectState) -> None:
        self._old = old
        self._state = old.clone()

    def find_problems(self, migrations: Sequence[Migration]) -> list[Problem]:
        """Return what nobody has answered, and answers to nothing."""
        found, answered = [], set()
        for migration in migrations:
            where = f"{migration.app_label}.{migration.name}"
            reasons: dict[str, str] = getattr(migration, "upgrade_reasons", {})
            locked = self._list_locked(migration)
            asked = [Problem(where, *one) for one in self._judge_all(migration.app_label, migration.operations)]
            if len(locked) > 1 and migration.atomic:
                asked.append(Problem(where, "tables", TABLES.format(tables=" and ".join(locked))))
            found += [one for one in asked if not reasons.get(one.key)]
            found += [Problem(where, key, STALE) for key in reasons.keys() - {one.key for one in asked}]
            answered |= {(migration.app_label, key) for key in reasons}
        # What several operations together leave: a default may be given and taken away again.
        left = self._find_missing_defaults()
        return found + [one for one in left if (one.where, one.key) not in answered and not _is_among(one, found)]

    def _list_locked(self, migration: Migration) -> list[str]:
        """Return the tables of the last release that a migration locks against readers."""
        names = {
            step.model_name_lower
            for step in migration.operations
            if isinstance(step, (operations.AddField, operations.AlterField, operations.RemoveField))
        }
        return sorted(name for name in names if (migration.app_label, name) in self._old.models)

    def _judge_all(self, app: str, steps: Iterable[Operation]) -> Iterator[tuple[str, str]]:
        for step in steps:
            before = self._state.clone()
            if isinstance(step, operations.SeparateDatabaseAndState):
                # What does not happen in the database the last release does not notice; new servers may.
                yield from self._judge_all(app, step.database_operations)
                yield from _judge_left_behind(app, step.state_operations, before)
                self._state = before
                step.state_forwards(app, self._state)
                continue
            step.state_forwards(app, self._state)
            yield from self._judge_foreign_keys(app, step, before)
            yield from self._judge(app, step, before)

    def _judge(self, app: str, step: Operation, before: ProjectState) -> Iterator[tuple[str, str]]:
        """Yield (key, text) of what an operation does to the last release's tables."""
        if isinstance(step, (operations.RunPython, operations.RunSQL)):
            yield getattr(getattr(step, "code", None), "__name__", "RunSQL"), BY_HAND
            return
        name = getattr(step, "model_name", getattr(step, "old_name", getattr(step, "name", ""))).lower()
        if (app, name) not in self._old.models:
            return
        match step:
            case operations.AddField():
                yield from _judge_new_field(f"{name}.{step.name}", step.field)
            case operations.AlterField():
                yield from self._judge_altered_field(app, name, step.name, before)
            case operations.RemoveField():
                if step.name in self._old.models[app, name].fields:
                    yield f"{name}.{step.name}", GONE
            case operations.RenameField():
                if step.old_name in self._old.models[app, name].fields:
                    yield f"{name}.{step.old_name}", GONE
            case operations.DeleteModel() | operations.RenameModel() | operations.AlterModelTable():
                yield name, GONE
            case operations.AddConstraint():
                yield f"{name}.{step.constraint.name}", CONSTRAINT
            case operations.AlterUniqueTogether():
                yield f"{name}.unique_together", CONSTRAINT
            case PostgresAddIndexConcurrently():
                pass
            case operations.AddIndex():
                yield f"{name}.{step.index.name}", INDEX
            case operations.RemoveIndex() | operations.RemoveConstraint():
                yield f"{name}.{step.name}", RELIED_ON
            case _ if not _changes_models_only(step):
                yield f"{name}.{type(step).__name__}", BY_HAND

    def _judge_foreign_keys(self, app: str, step: Operation, before: ProjectState) -> Iterator[tuple[str, str]]:
        """Yield the fields, of whichever table, that begin to keep the last release from deleting its rows."""
        match step:
            case operations.CreateModel():
                name, fields = step.name_lower, list(step.fields)
            case operations.AddField() | operations.AlterField():
                name, fields = step.model_name_lower, [(step.name, step.field)]
            case _:
                return
        had = before.models[app, name].fields if (app, name) in before.models else {}
        for field, definition in fields:
            if self._constrains(app, name, definition) and not (
                field in had and self._constrains(app, name, had[field])
            ):
                yield f"{name}.{field}", FOREIGN_KEY

    def _constrains(self, app: str, model: str, field: Any) -> bool:
        """Say whether a field is a foreign key that the database checks, to a table of the last release."""
        remote = getattr(field, "remote_field", None)
        if remote is None or not getattr(field, "db_constraint", getattr(remote, "db_constraint", False)):
            return False
        return resolve_relation(remote.model, app, model) in self._old.models

    def _judge_altered_field(self, app: str, model: str, name: str, before: ProjectState) -> Iterator[tuple[str, str]]:
        key = f"{model}.{name}"
        if name not in self._old.models[app, model].fields:
            return  # added since: what is left of it is judged at the end
        old = before.apps.get_model(app, model)._meta.get_field(name)
        new = self._state.apps.get_model(app, model)._meta.get_field(name)
        if new.column != old.column:
            yield key, GONE
        checked = new.db_check(_POSTGRESQL)
        if (
            (old.null and not new.null)
            or (new.unique and not old.unique)
            or (checked and not old.db_check(_POSTGRESQL))
        ):
            yield key, CONSTRAINT
        if old.unique and not new.unique:
            yield key, RELIED_ON
        if new.db_index and not (old.db_index or old.unique):
            yield key, INDEX
        if not _fits(old.db_type(_POSTGRESQL), new.db_type(_POSTGRESQL)):
            yield key, COLUMN_TYPE
        if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED and not new.null:
            yield key, NEEDS_DB_DEFAULT

    def _find_missing_defaults(self) -> list[Problem]:
        return [
            Problem(app, f"{name}.{field}", NEEDS_DB_DEFAULT)
            for (app, name), old in self._old.models.items()
            if (new := self._state.models.get((app, name))) is not None
            for field, definition in new.fields.items()
            if field not in old.fields and _needs_db_default(definition)
        ]


def _is_among(problem: Problem, found: Iterable[Problem]) -> bool:
    return any(one.where.startswith(f"{problem.where}.") and one[1:] == problem[1:] for one in found)


def _needs_db_default(field: Any) -> bool:
    return not (field.many_to_many or field.null or field.generated or field.db_default is not NOT_PROVIDED)


def _judge_left_behind(app: str, steps: Iterable[Operation], before: ProjectState) -> Iterator[tuple[str, str]]:
    for step in steps:
        if isinstance(step, operations.RemoveField):
            field = before.models[app, step.model_name_lower].fields[step.name]
            if _needs_db_default(field):
                yield f"{step.model_name_lower}.{step.name}", LEFT_BEHIND


def _judge_new_field(key: str, field: Any) -> Iterator[tuple[str, str]]:
    if _needs_db_default(field):
        yield key, NEEDS_DB_DEFAULT
    if field.many_to_many:
        return
    if field.unique and not field.null:
        yield key, CONSTRAINT  # every row of the last release gets the same default
    elif field.unique or field.db_index:
        yield key, INDEX


def _fits(old: str, new: str) -> bool:
    """Say whether each value of a column of the old type is one of the new, stored alike."""
    lengths = [re.fullmatch(r"varchar\((\d+)\)", one) for one in (old, new)]
    if lengths[0] is not None and lengths[1] is not None:
        return int(lengths[0][1]) <= int(lengths[1][1])
    return old == new or (new in {"text", "varchar"} and old.startswith("varchar"))


def _changes_models_only(step: Operation) -> bool:
    harmless = (operations.AlterModelOptions, operations.AlterModelManagers, operations.AlterModelTableComment)
    return isinstance(step, (*harmless, operations.RenameIndex, operations.CreateModel))


def find_problems() -> list[Problem]:
    """Return the problems of this tree's migrations since the last release."""
    loader = MigrationLoader(None)
    released = {
        node for app, name in read_release().migrations.items() for node in loader.graph.forwards_plan((app, name))
    }
    nodes = [(app, name) for app, name in read_release().migrations.items()]
    plan = [node for leaf in loader.graph.leaf_nodes() for node in loader.graph.forwards_plan(leaf)]
    added = [node for node in dict.fromkeys(plan) if node not in released and node[0] in APPS]
    old = loader.graph.make_state(nodes=nodes, at_end=True, real_apps=loader.unmigrated_apps)
    return Steps(old).find_problems([loader.disk_migrations[node] for node in added])


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stepper.settings")
    django.setup()
    problems = find_problems()
    for problem in problems:
        print(problem)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
