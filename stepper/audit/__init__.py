"""The audit log: who acts (context.py), which models and fields (registry.py), what they change (writing.py) and look
at (looks.py), and how old months go (retention.py)."""
