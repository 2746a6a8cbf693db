"""What the trip page says to one viewer at one instant; the page, its fragments and the answers to its buttons use it.

Each module is a part of the panel: who looks (viewing), where the driver is (location), the words at the top
(headline), the progress (timeline), what the viewer may do (actions), whom they reach (contact).
"""

from .panel import Panel

__all__ = ["Panel"]
