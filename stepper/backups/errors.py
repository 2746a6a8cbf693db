"""What a backup or a restore refuses, each with a stable code and the exit status of the command."""


class BackupError(Exception):
    """A refusal or a failure with a stable `code`; the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code}: {self.args[0]}"

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.code]


# 1 is any other error, 2 a wrong command line. docs/operations.md lists them.
EXIT_STATUS = {
    "backup.failed": 3,
    "backup.already_running": 4,
    "backup.tool_missing": 5,
    "backup.damaged": 6,
    "backup.newer_release": 7,
    "backup.other_database": 8,
    "restore.not_empty": 9,
    "restore.in_use": 10,
    "restore.failed": 11,
}
