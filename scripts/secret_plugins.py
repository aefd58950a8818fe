"""Secrets that detect-secrets does not know: keys of model providers, and our own.

Named in `.secrets.baseline`; a line that only looks like one ends in `pragma: allowlist secret`.
"""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class AnthropicKeyDetector(RegexBasedDetector):
    """Finds Anthropic API and admin keys."""

    secret_type = "Anthropic Key"
    denylist = (re.compile(r"sk-ant-[A-Za-z0-9]+-[A-Za-z0-9_-]{20,}"),)


class GoogleKeyDetector(RegexBasedDetector):
    """Finds Google API keys."""

    secret_type = "Google Key"
    denylist = (re.compile(r"AIza[A-Za-z0-9_-]{35}"),)


class KyrosKeyDetector(RegexBasedDetector):
    """Finds Kyros API keys: `ky_<id>_<secret>`."""

    secret_type = "Kyros Key"
    denylist = (re.compile(r"ky_[A-Za-z0-9]{4,}_[A-Za-z0-9_-]{20,}"),)
