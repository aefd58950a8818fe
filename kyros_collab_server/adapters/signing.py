"""Ed25519 signatures of checkpoints, with a key derived from the deployment's secret.

`cryptography` is loaded when something is signed or checked, not before.
"""

import base64
from functools import cached_property
from typing import TYPE_CHECKING

from kyros_collab_server.features.events.model import CheckpointKey
from kyros_collab_server.kernel.etag import canonical, sha256_hex

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PURPOSE = b"kyros checkpoint signing key 1"
"""What HKDF binds the key to: the same secret gives another key for every other purpose."""
KEY_BYTES = 32


def b64(raw: bytes) -> str:
    """Base64url without padding, as JSON Web Keys and signatures are written."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_b64(text: str) -> bytes:
    """The bytes that base64url text stands for.

    Raises:
        ValueError: it is no base64url.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def thumbprint(x: str) -> str:
    """The RFC 7638 thumbprint of an Ed25519 public key: SHA-256 of its required members."""
    digest = sha256_hex(canonical({"crv": "Ed25519", "kty": "OKP", "x": x}))
    return b64(bytes.fromhex(digest))


class CheckpointSigner:
    """Signs with the key that HKDF-SHA-256 (RFC 5869) derives from the secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @cached_property
    def _private(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derive = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=PURPOSE)
        return Ed25519PrivateKey.from_private_bytes(derive.derive(self._secret))

    @cached_property
    def key(self) -> CheckpointKey:
        """The public half."""
        x = b64(self._private.public_key().public_bytes_raw())
        return CheckpointKey(kid=thumbprint(x), x=x)

    def sign(self, text: str) -> str:
        """The signature of the text's UTF-8 bytes, in base64url."""
        return b64(self._private.sign(text.encode()))


def is_signed_by(key: CheckpointKey, text: str, signature: str) -> bool:
    """True when the signature of this text was made with the private half of this key.

    False also for a key that does not bear its own name, and for what is no key or signature.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if key.kid != thumbprint(key.x):
        return False
    try:
        public = Ed25519PublicKey.from_public_bytes(from_b64(key.x))
        public.verify(from_b64(signature), text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
