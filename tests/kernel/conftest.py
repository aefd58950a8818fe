"""Property tests run under the project's profile."""

import tests.properties  # noqa: F401
