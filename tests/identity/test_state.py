"""How sign-in stands, in numbers."""

from __future__ import annotations

from tests.identity.world import GOOD, World, client
from vallum.identity.state import sign_in_state
from vallum.postgres.migrations import migrate

_PASSKEYS = """
INSERT INTO vallum.passkey
    (account_id, name, credential_id, public_key, sign_count, transports, backed_up, created)
SELECT id, 'key', id::text::bytea, '', 0, '{}', false, now() FROM vallum.account WHERE id = ANY(%s)
"""


def test_state_counts_people_once_and_nobody_who_cannot_come_in(world: World) -> None:
    """Two factors are one person; shut accounts and services are no people, though they have factors."""
    with world.store.transaction() as tx:
        migrate(tx, "sso")
    people = [world.person(f"person{n}", user_id=n) for n in range(1, 5)]
    for account in (people[0], people[3]):
        world.totp(account)
    world.store.rows(_PASSKEYS, ([people[0].id, people[1].id],))
    world.identity.deactivate(people[3], by=None)
    world.service()
    state = sign_in_state(world.identity.base)
    assert (state.people, state.with_factor, state.locked) == (3, 2, 0)
    for _ in range(5):
        world.identity.sign_in.password("person2", GOOD + "x", client())
    assert sign_in_state(world.identity.base).locked == 1
