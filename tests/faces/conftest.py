"""The whole product on one port, for both faces at once."""

from tests.mcp_face.conftest import product, settings

__all__ = ["product", "settings"]
