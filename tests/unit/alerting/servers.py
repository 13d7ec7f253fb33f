"""Real servers on this machine for notifiers to talk to: HTTP, and SMTP over TLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Received:
    """One HTTP request; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class WebServer:
    """Keeps every POST, and answers with the next of ``answers``, else with 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, more = take(Received(self.path, headers, body))
                self.send_response(status)
                for name, value in {"Content-Length": "0", **more}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """A test's output is not the place for access logs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.01,), daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, request: Received) -> tuple[int, dict[str, str]]:
        self.received.append(request)
        return self.answers.pop(0) if self.answers else (200, {})


@dataclass(slots=True)
class Mailbox:
    """What a mail server got, and the replies it is to give instead of 250."""

    envelopes: list[Envelope] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    data_replies: list[str] = field(default_factory=list)
    recipient_replies: dict[str, str] = field(default_factory=dict)
    hang_ups: int = 0
    """So many mails it takes without telling: the connection ends before its reply."""
    known: tuple[str, str] | None = None
    """User and password that it lets in; None: anybody, without."""

    def mails(self) -> list[EmailMessage]:
        """The mails, parsed."""
        contents = [each.content for each in self.envelopes]
        return [
            message_from_bytes(content, policy=policy.default)
            for content in contents
            if isinstance(content, bytes)
        ]

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.recipient_replies:
            return self.recipient_replies[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.data_replies:
            return self.data_replies.pop(0)
        self.envelopes.append(envelope)
        if self.hang_ups:
            self.hang_ups -= 1
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == self.known, handled=False)


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate for 127.0.0.1 and localhost, and the authority that signed it."""

    authority: Path
    server: ssl.SSLContext


@asynccontextmanager
async def mail_server(
    mailbox: Mailbox, context: ssl.SSLContext | None, *, implicit: bool = False, port: int = 0
) -> AsyncIterator[int]:
    """A mail server on a port, a free one unless given: TLS from the first byte, or STARTTLS, or
    neither."""

    sessions: list[_Session] = []

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # It does not see that the connection has been encrypted from its first byte.
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
            session = _Session(
                mailbox,
                hostname="localhost",
                tls_context=None if implicit else context,
                require_starttls=context is not None and not implicit,
                authenticator=mailbox.authenticate,
                auth_required=mailbox.known is not None,
                auth_require_tls=not implicit,
                timeout=20,
            )
        sessions.append(session)
        return session

    loop = asyncio.get_running_loop()
    encrypted = context if implicit else None
    server = await loop.create_server(protocol, "127.0.0.1", port, ssl=encrypted)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for session in sessions:
            await session.end()


class _Session(SMTP):
    """One connection, which can be waited for to be gone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gone = asyncio.Event()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._gone.set()

    async def end(self) -> None:
        if self.transport is not None:
            self.transport.close()
        await self._gone.wait()


def certificates(folder: Path, name: str = "localhost") -> Certificates:
    """Made anew: an authority, and a server's certificate of it for ``name`` and 127.0.0.1."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    authority = _certificate(ca_name, ca_name, ca_key.public_key(), ca_key, None)
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName(
        [x509.DNSName(name)] + ([x509.IPAddress(ip_address("127.0.0.1"))] if name == "localhost"
                                else [])
    )  # fmt: skip
    leaf = _certificate(server_name, ca_name, key.public_key(), ca_key, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "cert.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return Certificates(folder / "ca.pem", context)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signing_key: ec.EllipticCurvePrivateKey,
    names: x509.SubjectAlternativeName | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=names is None, crl_sign=names is None,
                content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing_key, hashes.SHA256())
