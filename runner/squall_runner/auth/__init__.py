"""Credentials that change during a run: tokens that are asked for, kept fresh, and taken back by nobody but their server.

From the bottom: `grant` (what is asked and what the answer means, RFC 6749), `source` (one token and its renewal),
`tokens` (all tokens of a process). User names, passwords and tokens of the manifest's own need none of this.
"""

from squall_runner.auth.grant import Grant, Token, TokenError, parse_token
from squall_runner.auth.source import TokenSource
from squall_runner.auth.tokens import Tokens

__all__ = ["Grant", "Token", "TokenError", "TokenSource", "Tokens", "parse_token"]
