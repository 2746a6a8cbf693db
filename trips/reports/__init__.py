"""Counting days for the reports: what a day has (counting.py), when it is counted (keeping.py), the mail of a night."""
