"""What this service has to offer: people and groups, what may be left out, and what is tolerated.

Pure. The typed resources are scim2-models'; what differs is the manager,
whose address Entra ID and Okta leave out, and members, who are people only.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Extension,
    Filter,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    User,
)

__all__ = [
    "BULK_LIMIT",
    "KINDS",
    "PAGE",
    "PAYLOAD_LIMIT",
    "POLICY",
    "PROVIDER",
    "EnterpriseUser",
    "Group",
    "Kind",
    "Person",
]

PAGE: Final = 200
BULK_LIMIT: Final = 1000
PAYLOAD_LIMIT: Final = 1 << 20


class Manager(ComplexAttribute):
    """Somebody's manager, by the id they have here."""

    value: Annotated[str | None, CaseExact.true] = None
    ref: Annotated[str | None, CaseExact.true] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    display_name: Annotated[str | None, Mutability.read_only] = None


class EnterpriseUser(Extension):
    """What organisations say of people."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")

    employee_number: str | None = None
    cost_center: str | None = None
    organization: str | None = None
    division: str | None = None
    department: str | None = None
    manager: Manager | None = None


class GroupMember(ComplexAttribute):
    """Somebody in a group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[Reference[User] | None, Mutability.immutable] = Field(  # type: ignore[type-arg]
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])


class Group(Resource[Any]):
    """A group of a directory."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Required.true] = None
    members: list[GroupMember] | None = None


Person: TypeAlias = User[EnterpriseUser]
Kind: TypeAlias = type[Resource[Any]]
KINDS: Final[dict[str, Kind]] = {"Users": Person, "Groups": Group}

# Entra ID removes members by value and writes to entries that are not there yet; unknown attributes are
# somebody's custom ones, and mean nothing here.
POLICY: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)

PROVIDER: Final = ScimProvider(
    models=[User, EnterpriseUser, Group],
    resource_types=[ResourceType.from_resource(Person), ResourceType.from_resource(Group)],
    policy=POLICY,
    config=ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=True, max_operations=BULK_LIMIT, max_payload_size=PAYLOAD_LIMIT),
        filter=Filter(supported=True, max_results=PAGE),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=True),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="A token of this directory, made by `vallum scim token`",
                primary=True,
            )
        ],
    ),
)
