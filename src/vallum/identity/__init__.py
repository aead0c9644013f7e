"""Who asks: accounts, proofs of identity, and what becomes of them."""

from vallum.identity.accounts import Account, Accounts
from vallum.identity.authenticator import Authenticator, Client, Refusal, Verdict
from vallum.identity.identity import Identity
from vallum.identity.keyring import Keyring
from vallum.identity.local import LocalAuthenticator
from vallum.identity.odoo import OdooAuthenticator
from vallum.identity.opening import open_identity
from vallum.identity.people import OfApplication
from vallum.identity.settings import IdentitySettings
from vallum.identity.sign_in import Outcome, Refused, SignedIn, Step

__all__ = [
    "Account",
    "Accounts",
    "Authenticator",
    "Client",
    "Identity",
    "IdentitySettings",
    "Keyring",
    "LocalAuthenticator",
    "OdooAuthenticator",
    "OfApplication",
    "Outcome",
    "Refusal",
    "Refused",
    "SignedIn",
    "Step",
    "Verdict",
    "open_identity",
]
