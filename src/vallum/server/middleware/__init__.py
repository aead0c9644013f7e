"""The layers around every request, outermost first; each has one duty, and is safe by default."""

from vallum.server.middleware.body import Body
from vallum.server.middleware.client import ClientAddress
from vallum.server.middleware.failures import Failures
from vallum.server.middleware.headers import Headers
from vallum.server.middleware.hosts import Hosts
from vallum.server.middleware.requests import Requests

__all__ = ["STACK"]

# The order is held by a golden file: who is asked, and who answers for whom, depends on it.
STACK = (Requests, Headers, Failures, ClientAddress, Hosts, Body)
