"""Figures of a process for Prometheus and for /ops/system/, ids in the log, faults for Sentry."""
