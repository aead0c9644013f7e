"""Second factors: one-time codes, passkeys, recovery codes; and who needs one."""

from vallum.identity.factors.codes import NewTotp
from vallum.identity.factors.factors import Factors
from vallum.identity.factors.kept import Factor
from vallum.identity.factors.rules import Need

__all__ = ["Factor", "Factors", "Need", "NewTotp"]
