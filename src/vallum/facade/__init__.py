"""The library: open an application, and see it through the eyes of its users."""

from vallum.facade.check import Finding, Report
from vallum.facade.opening import open
from vallum.facade.session import Session
from vallum.facade.opened import Inexact, Vallum

__all__ = ["Finding", "Inexact", "Report", "Session", "Vallum", "open"]
