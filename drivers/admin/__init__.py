"""What staff see and do: drivers, their documents and applications, vehicles, and histories."""

from . import documents, drivers, histories, vehicles

__all__ = ["documents", "drivers", "histories", "vehicles"]
