"""Mail: sent once, by a real server, and never in the way of signing in."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.message import Message as Received

import pytest
from aiosmtpd.controller import Controller

from tests.identity.world import World, client
from vallum.identity.keyring import Keyring
from vallum.identity.outbox import Message, Outbox, smtp_sender
from vallum.identity.settings import MailSettings


class Caught:
    """A mailbox."""

    def __init__(self) -> None:
        self.mails: list[Received] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        """Take one."""
        self.mails.append(message_from_bytes(envelope.content))  # type: ignore[attr-defined]
        return "250 taken"


class AnyPort(Controller):
    """A mail server on whatever port is free."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # a Server
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def mailbox() -> Iterator[tuple[Caught, int]]:
    """A mail server on a port of its own."""
    caught = Caught()
    controller = AnyPort(caught, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield caught, controller.port
    finally:
        controller.stop()


def _settings(port: int) -> MailSettings:
    return MailSettings(
        host="127.0.0.1", port=port, security="none", sender="vallum@vallum.example", timeout=5
    )


def test_mail_arrives_whole_and_once(world: World, mailbox: tuple[Caught, int]) -> None:
    """With every character, marked as sent by a program; what was sent is not kept."""
    caught, port = mailbox
    world.person("zoé", email="zoe@example.com")
    world.read_mail()
    world.identity.passwords.start_reset("zoé", client())
    send = smtp_sender(_settings(port))
    assert world.identity.base.outbox.deliver(send, world.clock.now()) == (1, 0)
    assert world.identity.base.outbox.deliver(send, world.clock.now()) == (0, 0)
    [mail] = caught.mails
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert "zoé" in payload.decode()
    assert "https://vallum.example/account/reset#" in payload.decode()
    assert (mail["To"], mail["Auto-Submitted"]) == ("zoe@example.com", "auto-generated")
    assert world.store.rows("SELECT 1 FROM vallum.outbox WHERE message IS NOT NULL AND recipient <> ''") == []


@pytest.mark.asvs("16.5.2")
def test_server_that_is_down_loses_nothing_and_stops_nobody(
    world: World, mailbox: tuple[Caught, int]
) -> None:
    """Signing in goes on; the mail is tried again after growing pauses, and arrives."""
    caught, port = mailbox
    world.person()
    world.read_mail()
    world.sign_in()
    world.sign_in()
    dead = smtp_sender(_settings(9))
    outbox = world.identity.base.outbox
    assert outbox.deliver(dead, world.clock.now()) == (0, 1)
    assert outbox.deliver(dead, world.clock.now()) == (0, 0)
    world.go_on(minutes=2)
    assert outbox.deliver(dead, world.clock.now()) == (0, 1)
    world.go_on(minutes=3)
    assert outbox.deliver(smtp_sender(_settings(port)), world.clock.now()) == (0, 0)
    world.go_on(minutes=1)
    assert outbox.deliver(smtp_sender(_settings(port)), world.clock.now()) == (1, 0)
    assert len(caught.mails) == 1


def test_mail_that_never_leaves_is_given_up_and_wiped(world: World) -> None:
    """After the attempts set, so that a link does not lie there for ever."""
    world.person()
    world.read_mail()
    world.identity.passwords.start_reset("marie", client())
    for _ in range(20):
        world.identity.base.outbox.deliver(smtp_sender(_settings(9)), world.clock.now())
        world.go_on(hours=9)
    [(attempts, failed, message, error)] = world.store.rows(
        "SELECT attempts, failed IS NOT NULL, message, error FROM vallum.outbox WHERE kind = 'reset'"
    )
    assert (attempts, failed, message) == (12, True, None)
    assert error


def test_waiting_mail_cannot_be_read_in_the_database(world: World) -> None:
    """A link that lets in is sealed; with another secret it is given up, and others go on."""
    world.person()
    world.identity.passwords.start_reset("marie", client())
    kept = b"".join(bytes(row[0]) for row in world.store.rows("SELECT message FROM vallum.outbox"))
    assert b"account/reset" not in kept
    foreign = Outbox(world.store, Keyring.new())
    sent: list[Message] = []
    done = foreign.deliver(lambda message, _: sent.append(message), world.clock.now())
    assert (done[0], sent) == (0, [])
    assert foreign.waiting() == 0


def test_two_that_deliver_send_each_mail_once(world: World) -> None:
    """Whoever is first takes it."""
    world.person()
    world.read_mail()
    for _ in range(3):
        world.identity.passwords.start_reset("marie", client())
    sent: list[str] = []
    others = [world.another() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                lambda o: o.base.outbox.deliver(lambda m, _: sent.append(m.text), world.clock.now()), others
            )
        )
    assert len(sent) == len(set(sent)) == 3


def test_server_without_tls_is_not_trusted_with_mail(world: World, mailbox: tuple[Caught, int]) -> None:
    """Where TLS is asked for (the default), a server that has none gets nothing."""
    caught, port = mailbox
    world.person()
    world.read_mail()
    world.sign_in()
    world.sign_in()
    settings = MailSettings(host="127.0.0.1", port=port, timeout=5)
    assert settings.security == "starttls"
    assert world.identity.base.outbox.deliver(smtp_sender(settings), world.clock.now()) == (0, 1)
    assert not caught.mails
    assert ssl.create_default_context().check_hostname
