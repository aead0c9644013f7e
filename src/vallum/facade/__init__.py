"""The library: open an application, and see it through the eyes of its users."""

from vallum.facade.check import BrokenRule, Check
from vallum.facade.opened import Vallum
from vallum.facade.opening import open, open_over
from vallum.facade.session import Session

__all__ = ["BrokenRule", "Check", "Session", "Vallum", "open", "open_over"]
