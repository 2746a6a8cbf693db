"""Notifications and the channels that bring them to people."""
