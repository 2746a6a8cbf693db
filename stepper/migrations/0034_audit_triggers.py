"""The database refuses to change the audit log, and to delete of it but what is old (stepper.audit.retention).

A later migration that has SQLite write the table anew, as AlterField does, must create these triggers again.
"""

from typing import Any

from django.db import migrations

LEAST_KEPT_DAYS = 150
MESSAGE = "the audit log is only added to"

POSTGRESQL = f"""
CREATE FUNCTION stepper_auditentry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE allowed timestamptz;
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE format('SELECT max(before) FROM %I.stepper_auditretention', TG_TABLE_SCHEMA) INTO allowed;
        IF OLD.at < allowed AND OLD.at < statement_timestamp() - interval '{LEAST_KEPT_DAYS} days' THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER stepper_auditentry_rows BEFORE UPDATE OR DELETE ON stepper_auditentry
    FOR EACH ROW EXECUTE FUNCTION stepper_auditentry_refuse();
CREATE TRIGGER stepper_auditentry_table BEFORE TRUNCATE ON stepper_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION stepper_auditentry_refuse();
ALTER TABLE stepper_auditentry ENABLE ALWAYS TRIGGER stepper_auditentry_rows;
ALTER TABLE stepper_auditentry ENABLE ALWAYS TRIGGER stepper_auditentry_table;
"""

SQLITE = (
    f"""
    CREATE TRIGGER stepper_auditentry_update BEFORE UPDATE ON stepper_auditentry
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
    """,
    f"""
    CREATE TRIGGER stepper_auditentry_delete BEFORE DELETE ON stepper_auditentry
    WHEN OLD.at >= datetime('now', '-{LEAST_KEPT_DAYS} days')
        OR NOT EXISTS (SELECT 1 FROM stepper_auditretention WHERE OLD.at < before)
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
    """,
    # REPLACE deletes without asking the trigger above: it finds nothing that it could replace.
    f"""
    CREATE TRIGGER stepper_auditentry_replace BEFORE INSERT ON stepper_auditentry
    WHEN EXISTS (SELECT 1 FROM stepper_auditentry WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
    """,
    # A look that is there already is not inserted, which is what it asks for.
    """
    CREATE TRIGGER stepper_auditentry_merge BEFORE INSERT ON stepper_auditentry
    WHEN EXISTS (SELECT 1 FROM stepper_auditentry WHERE merge_key = NEW.merge_key)
    BEGIN SELECT RAISE(IGNORE); END
    """,
)


def create_triggers(apps: Any, schema_editor: Any) -> None:
    statements = [POSTGRESQL] if schema_editor.connection.vendor == "postgresql" else SQLITE
    for statement in statements:
        schema_editor.execute(statement, params=None)


def drop_triggers(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION stepper_auditentry_refuse() CASCADE")
        return
    for name in ("update", "delete", "replace", "merge"):
        schema_editor.execute(f"DROP TRIGGER stepper_auditentry_{name}")


class Migration(migrations.Migration):
    dependencies = [
        ("stepper", "0033_audit"),
    ]
    upgrade_reasons = {"create_triggers": "of a table that the last release does not know"}

    operations = [migrations.RunPython(create_triggers, drop_triggers)]
