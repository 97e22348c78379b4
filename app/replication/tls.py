"""TLS both ways: contexts made from files, and one that can be exchanged under a running server.

Inbound, a client certificate must be signed by the fleet's authority or be an anchor of its own,
because the library underneath asks for certificates in no other way; the allowlist then decides.
Outbound, a server is who its certificate says, by the public authorities and the fleet's, or by
a pinned fingerprint. Nothing here accepts just any certificate.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NoReturn, Self

import httpx
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CERTIFICATE_SUFFIXES: Final = frozenset({".pem", ".crt"})


class TlsFileError(Exception):
    """A certificate or key cannot be used; the message names the file and no key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its key, which may stand in the same file."""

    certificate: Path
    key: Path | None = None

    def load_into(self, context: ssl.SSLContext) -> None:
        """Show this certificate from now on.

        Raises:
            TlsFileError: unreadable, no PEM, encrypted, or the key is another's.
        """
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise TlsFileError(
                f"certificate {self.certificate} with key {self.key or self.certificate}:"
                f" {_reason(error)}"
            ) from None


@dataclass(frozen=True, slots=True)
class Anchors:
    """Whose signature is believed: an authority's file and a folder of single certificates."""

    authority: Path | None = None
    folder: Path | None = None

    def load_into(self, context: ssl.SSLContext) -> int:
        """Believe them in this context; how many files they are.

        Raises:
            TlsFileError: a file cannot be read or holds no certificate.
        """
        files = list(self.files())
        for file in files:
            try:
                context.load_verify_locations(cafile=file)
            except (OSError, ValueError) as error:
                raise TlsFileError(f"certificate {file}: {_reason(error)}") from None
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        return len(files)

    def files(self) -> Iterator[Path]:
        """The files as they are now.

        Raises:
            TlsFileError: the folder cannot be read.
        """
        if self.authority is not None:
            yield self.authority
        if self.folder is None:
            return
        try:
            found = sorted(self.folder.iterdir())
        except OSError as error:
            raise TlsFileError(f"folder {self.folder}: {_reason(error)}") from None
        yield from (one for one in found if one.suffix in CERTIFICATE_SUFFIXES)


def server_context(own: KeyPair, clients: Anchors | None) -> ssl.SSLContext:
    """What a listening port uses; with `clients` a certificate is asked of everybody.

    Raises:
        TlsFileError: a file cannot be used, or no client could ever be believed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    own.load_into(context)
    if clients is not None:
        if not clients.load_into(context):
            raise TlsFileError(
                "no client certificate could be verified: name the authority that signed them"
                " (--quorum-ca-cert), or a folder of them (--mtls-client-cert-dir)"
            )
        context.verify_mode = ssl.CERT_REQUIRED
        # A resumed session would show the certificate without its chain being verified again.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def client_context(own: KeyPair | None, servers: Anchors) -> ssl.SSLContext:
    """What calls to peers use: public authorities, the fleet's own, and the name must fit.

    Raises:
        TlsFileError: a file cannot be used.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    servers.load_into(context)
    if own is not None:
        own.load_into(context)
    return context


def pinned_context(own: KeyPair | None, pin: str) -> ssl.SSLContext:
    """For one server that is known by its certificate's SHA-256, whatever that says.

    The handshake fails with any other certificate, so nothing is ever said to its owner.

    Raises:
        TlsFileError: a file cannot be used.
    """

    class Pinned(ssl.SSLObject):
        """Ends the handshake when the server is another one."""

        @override
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = self.getpeercert(binary_form=True)
            if shown is None or sha256(shown).hexdigest() != pin:
                raise ssl.SSLCertVerificationError("the certificate is not the pinned one")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pin is the verification
    context.sslobject_class = Pinned
    if own is not None:
        own.load_into(context)
    return context


class LiveContext(ssl.SSLContext):
    """Stands for another context, which can be exchanged: new connections use the new one."""

    _current: ssl.SSLContext

    def __new__(cls, current: ssl.SSLContext) -> Self:
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made._current = current
        return made

    def exchange(self, current: ssl.SSLContext) -> None:
        """Use another one from now on; what is connected stays so."""
        self._current = current

    @override
    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self._current.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def _no_password() -> NoReturn:
    # Without this the library would ask for one on the terminal.
    raise ValueError("an encrypted key cannot be used")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "cannot be used").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or "cannot be used"
