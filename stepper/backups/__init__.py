"""Backup and restore of the database: `manage.py backup` and `manage.py restore`."""
