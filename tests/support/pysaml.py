"""Providers of both kinds by pysaml2 and xmlsec1: a program, run in an environment of its own.

Standard input: JSON objects with `do` and what that needs; standard output: what came of each.
    idp_metadata   the provider's metadata
    request        read a signed request of ours by redirect, as the provider; who asked, and the request's id
    answer         the provider's answer: signed, and encrypted where it is wanted
    consume        read an answer as another service provider; who that is, or why not
    logout         read a signed request for logout of ours, as the provider
"""

from __future__ import annotations

import json
import sys
from typing import Any

from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT, time_util
from saml2.client import Saml2Client
from saml2.config import IdPConfig, SPConfig
from saml2.metadata import create_metadata_string
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.sigver import SecurityContext, pre_encryption_part

SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
DIGEST = "http://www.w3.org/2001/04/xmlenc#sha256"


def _common(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "xmlsec_binary": given["xmlsec"],
        "key_file": given["key"],
        "cert_file": given["cert"],
        "metadata": {"inline": given.get("metadata", [])},
        "allow_unknown_attributes": True,
    }


def _idp(given: dict[str, Any]) -> IdPConfig:
    return IdPConfig().load(
        {
            **_common(given),
            "entityid": given["idp"],
            "service": {
                "idp": {
                    "endpoints": {
                        "single_sign_on_service": [(f"{given['idp']}/sso", BINDING_HTTP_REDIRECT)],
                        "single_logout_service": [(f"{given['idp']}/slo", BINDING_HTTP_REDIRECT)],
                    },
                    "want_authn_requests_signed": True,
                    "sign_assertion": True,
                    "signing_algorithm": SHA256,
                    "digest_algorithm": DIGEST,
                    "name_id_format": [NAMEID_FORMAT_PERSISTENT],
                    "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None}},
                }
            },
        }
    )


def idp_metadata(given: dict[str, Any]) -> dict[str, Any]:
    """What the provider publishes."""
    return {"metadata": create_metadata_string(None, _idp(given)).decode()}


def request(given: dict[str, Any]) -> dict[str, Any]:
    """Whether our request is one, and signed by the key of our metadata."""
    server = Server(config=_idp(given))
    query = given["query"]
    found = server.parse_authn_request(
        query["SAMLRequest"],
        BINDING_HTTP_REDIRECT,
        relay_state=query["RelayState"],
        sigalg=query["SigAlg"],
        signature=query["Signature"],
    )
    return {"id": found.message.id, "issuer": found.message.issuer.text, **_where(server, found)}


def _where(server: Server, found: Any) -> dict[str, Any]:
    told = server.response_args(found.message)
    return {"destination": told["destination"], "binding": told["binding"]}


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """The provider's answer to a request."""
    server = Server(config=_idp(given))
    if given.get("encrypt"):
        # By itself it takes an algorithm of the last century.
        pre_encryption_part.__kwdefaults__["msg_enc"] = given["encrypt"]
        SecurityContext.encrypt_assertion.__defaults__ = ("aes-256", None)
    found = server.create_authn_response(
        identity={"uid": [given["who"]], "mail": [f"{given['who']}@example.com"]},
        in_response_to=given["request"],
        destination=given["acs"],
        sp_entity_id=given["sp"],
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text=given["who"]),
        authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", "authn_auth": given["idp"]},
        sign_assertion=True,
        sign_response=given.get("sign_response", False),
        encrypt_assertion=bool(given.get("encrypt")),
        encrypted_advice_attributes=False,
        sign_alg=SHA256,
        digest_alg=DIGEST,
    )
    return {"answer": str(found)}


def consume(given: dict[str, Any]) -> dict[str, Any]:
    """What another service provider makes of an answer."""
    config = SPConfig().load(
        {
            **_common(given),
            "entityid": given["sp"],
            "service": {
                "sp": {
                    "endpoints": {"assertion_consumer_service": [(given["acs"], BINDING_HTTP_POST)]},
                    "want_assertions_signed": True,
                    "want_response_signed": False,
                    "allow_unsolicited": False,
                    "authn_requests_signed": False,
                }
            },
        }
    )
    # The answers are of the instant at which the tests began.
    time_util.utc_now = lambda: given["now"]
    try:
        found = Saml2Client(config).parse_authn_request_response(
            given["answer"], BINDING_HTTP_POST, outstanding={given["request"]: "/"}
        )
        return {"name_id": found.get_subject().text, "attributes": found.ava}
    except Exception as error:
        return {"refused": type(error).__name__}


def logout(given: dict[str, Any]) -> dict[str, Any]:
    """Whether our request for logout is one, and signed."""
    server = Server(config=_idp(given))
    query = given["query"]
    found = server.parse_logout_request(
        query["SAMLRequest"],
        BINDING_HTTP_REDIRECT,
        relay_state=query.get("RelayState"),
        sigalg=query["SigAlg"],
        signature=query["Signature"],
    )
    sessions = [one.text for one in found.message.session_index]
    return {"name_id": found.message.name_id.text, "sessions": sessions, "issuer": found.message.issuer.text}


WORK = {one.__name__: one for one in (idp_metadata, request, answer, consume, logout)}

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump([WORK[one.pop("do")](one) for one in asked], sys.stdout)
