"""The rules: patterns of detect-secrets that are precise on transcripts full of code, and a few for keys that it does not know.

`docs/secrets.md` says what was left out and the figures behind that.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from sidecar.adapters.secrets.makers import OWN

_PLACEHOLDER = re.compile(
    r"example|placeholder|your[-_]?|dummy|sample|fake|changeme|redacted|xxxx|\*\*\*|\.\.\.|1234567890|abcdefgh|(.)\1{7}|^test|<|\$\{|\{\{|\$\(|^%[sd]$|%\(",
    re.I,
)
_CODE = re.compile(
    r"^[A-Za-z_$][\w$]*(?:[.\[(:]|::|->)[\w.\[\]()$:>\-'\"]*$"
    r"|^(?:[a-z]+(?:[-_ ./][a-z]+)+|[A-Z]+(?:[-_][A-Z]+)+)\d{0,3}$"
    r"|^(?:\.{0,2}/|[A-Za-z]+://|[A-Za-z]:\\)"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m\Z")
MIN_ENTROPY = 3.5
"""Bits per character: below it is what people write as examples, and words."""
MIN_KEY_ENTROPY = 4.5
"""Of a whole private key: a row of one letter between two lines has less."""
MIN_DIGITS = 3
_PLACES = ("next", "page", "pagination", "continuation", "change", "request", "sync")
_TOKEN = "".join(f"(?<!{place})(?<!{place}[_-])" for place in _PLACES) + "token"
"""Not those that say where a list goes on, or that a request is sent twice."""
_WORDS = rf"(?:secret|passw(?:or)?d|{_TOKEN}|(?:api|access|private|account|storage|signing|encryption|master)[_-]?key)"


@dataclass(frozen=True, slots=True)
class Rule:
    """`group`: the part of the match that is the secret."""

    name: str
    patterns: tuple[re.Pattern[str], ...]
    group: int = 0
    holds: Callable[[str], bool] | None = None
    glued: bool = False
    """Whether a letter or digit may stand right before the match."""

    tail: re.Pattern[str] | None = None
    """What belongs to the secret behind the match: makers lengthen their keys."""

    any_text: bool = False
    """Whether what looks like a placeholder is taken all the same."""

    def spans(self, text: str, begin: int = 0, limit: int = sys.maxsize) -> Iterable[tuple[int, int]]:
        for pattern in self.patterns:
            for match in pattern.finditer(text, begin, limit):
                start, end = match.span(self.group if self.group <= pattern.groups else 0)
                more = self.tail.match(text, end) if self.tail is not None else None
                end = end if more is None else more.end()
                value = text[start:end]
                if not self.glued and _is_inside(text, match.start()):
                    continue
                if (self.any_text or _PLACEHOLDER.search(value) is None) and (self.holds is None or self.holds(value)):
                    yield start, end


def _is_inside(text: str, at: int) -> bool:
    """Whether a word goes on at `at`; a terminal's colour is none."""
    return at > 0 and text[at - 1].isalnum() and text[at].isalnum() and _COLOUR.search(text, max(0, at - 12), at) is None


def entropy(text: str) -> float:
    """Shannon's, in bits per character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _random(value: str) -> bool:
    """Whether a value looks made by a machine: letters and digits, and no code, word or path."""
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed and value.isascii() and _CODE.match(value) is None and entropy(value) >= MIN_ENTROPY


def _random_and_no_name(value: str) -> bool:
    """More than `_random`: neither the name of a variable nor that of a version."""
    mixed = any(c.islower() for c in value) and any(c.isupper() for c in value)
    return _random(value) and sum(c.isdigit() for c in value) >= MIN_DIGITS and (mixed or not re.search("[_-]", value))


def _spread(value: str) -> bool:
    """Less than `_random`: hexadecimal digits have 4 bits at most."""
    return any(c.isdigit() for c in value) and entropy(value) >= 3


def _key_of_aws(value: str) -> bool:
    return any(c.isdigit() for c in value) and entropy(value) >= MIN_ENTROPY and re.search("[^0-9a-f]", value) is not None


def _password(value: str) -> bool:
    """What stands between a user's name and a host and is not a word from a manual."""
    return len(value) >= 6 and value.lower() not in ("password", "passwd", "secret", "postgres", "hunter2", "username") and _CODE.match(value) is None


_PLUGINS: tuple[tuple[str, str, str, str, int], ...] = (
    ("aws-key", "aws", "AWSKeyDetector", "A(?:KIA|SIA|BIA|CCA|3T)", 0),
    ("azure-storage", "azure_storage_key", "AzureStorageKeyDetector", "AccountKey=", 0),
    ("basic-auth", "basic_auth", "BasicAuthDetector", "://[^:/@]+:[^/@]+@", 1),
    ("discord", "discord", "DiscordBotTokenDetector", r"\.[\w-]{6}\.[\w-]{27}", 0),
    ("github", "github_token", "GitHubTokenDetector", "gh[pousr]_", 0),
    ("gitlab", "gitlab_token", "GitLabTokenDetector", "gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941", 0),
    ("jwt", "jwt", "JwtTokenDetector", r"eyJ[\w=-]+\.", 0),
    ("mailchimp", "mailchimp", "MailchimpDetector", "-us[0-9]", 0),
    ("npm", "npm", "NpmDetector", "_authToken=", 1),
    ("openai", "openai", "OpenAIDetector", "T3BlbkFJ", 0),
    ("pypi", "pypi_token", "PypiTokenDetector", "pypi-AgE", 0),
    ("sendgrid", "sendgrid", "SendGridDetector", r"SG\.", 0),
    ("slack", "slack", "SlackDetector", r"(?i:xox[abposr]-|hooks\.slack\.com)", 0),
    ("square", "square_oauth", "SquareOAuthDetector", "sq0csp-", 0),
    ("stripe", "stripe", "StripeDetector", "[rs]k_live_", 0),
    ("telegram", "telegram_token", "TelegramBotTokenDetector", r"\d{8}:[\w-]{35}", 0),
    ("twilio", "twilio", "TwilioKeyDetector", "(?:AC|SK)[a-z0-9]{32}", 0),
)
"""(our name, module and class of detect-secrets, what every find has in it, group)."""

_SK = "sk-"
"""What many makers' keys begin with."""

_KEY_BODY = r"(?:\s|\\[nr])*(?:[\w-]+: [^\n\\]*(?:\s|\\[nr])+)*[A-Za-z0-9+/=](?:[A-Za-z0-9+/=]|\s|\\[nr]){62,}"
PRIVATE_KEY = Rule(
    "private-key",
    (re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----" + _KEY_BODY + r"(?:-----END [A-Z0-9 ]*-----)?"),),
    glued=True,
    holds=lambda value: entropy(value) >= MIN_KEY_ENTROPY,
    any_text=True,
)
"""detect-secrets has the first line alone, which any code that deals with keys contains. Every OpenSSH key has a row of A's in it, and a
long key any four letters."""
ASSIGNED = Rule(
    "assigned",
    (
        re.compile(
            _WORDS + r"[\w-]{0,30}[\\\"'\]]{0,3}(?::? str(?:ing)?)?\s{0,3}(?::=|=>|={1,3}|:|\?=|,)\s{0,3}\\?[\"'`]([^\x00-\x20\"'`\\]{12,200})\\?[\"'`]",
            re.I | re.A,
        ),
        re.compile(
            r"(?<![A-Za-z0-9])[A-Z0-9_]*(?:SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY|(?:ACCESS|PRIVATE|ACCOUNT|STORAGE|SIGNING|ENCRYPTION|MASTER)_KEY)[A-Z0-9_]*=([^\x00-\x20\"'`\\;&|)]{12,200})",
            re.A,
        ),
        re.compile(r"[?&][\w-]*(?:" + _TOKEN + r"|secret|api_?key|passw(?:or)?d)=([^\x00-\x20&\"'`#\\)]{16,200})", re.I | re.A),
        re.compile(r"\bbearer\s{1,3}([A-Za-z0-9._+/-]{24,200})", re.I | re.A),
    ),
    group=1,
    holds=_random,
    glued=True,
)
"""A value with much entropy that is given to a name which says that it is secret."""
BARE = Rule(
    "assigned",
    (re.compile(_WORDS + r"[\w-]{0,30}\\?[\"']?\s{0,3}(?::=|=|:)[ \t]{0,3}([A-Za-z0-9+/_-]{20,200}={0,2})(?=[\x00-\x20,;}\]<\"'\\]|$)", re.I | re.A),),
    group=1,
    holds=_random_and_no_name,
    glued=True,
)
"""The same without quotes in files of settings, as that of AWS; in code, names stand in such a place."""


@cache
def token_rules() -> tuple[Rule, ...]:
    """Rules for keys that show themselves by their form. Loads detect-secrets."""
    word = re.compile(r"[A-Za-z0-9_-]*")
    rules = [Rule(name, (re.compile(pattern, re.A),), tail=word) for name, _, pattern in OWN]
    for name, module, plugin, _, group in _PLUGINS:
        detector = getattr(import_module(f"detect_secrets.plugins.{module}"), plugin)
        patterns = tuple(detector.denylist)
        if name == "aws-key":
            rules.append(Rule("aws-secret", patterns[1:], 1, _key_of_aws, glued=True))
            patterns = patterns[:1]
        holds = {"jwt": getattr(detector, "is_formally_valid", None), "basic-auth": _password}.get(name)
        tail = {"jwt": re.compile(r"[\w.=-]*"), "basic-auth": None}.get(name, word)
        rules.append(Rule(name, patterns, group, holds, glued=name in ("basic-auth", "npm"), tail=tail))
    rules.append(Rule("sk-key", (re.compile(_SK + r"[A-Za-z0-9]{32,}(?![\w-])", re.A),), holds=_spread))  # last: more telling names go first
    return tuple(rules)


_INSIDE = ("discord", "mailchimp", "npm", "openai", "telegram")
"""Whose hints do not stand at the beginning."""
_FIRST = [_SK, *(hint for _, hint, _ in OWN)]
STARTS = "|".join([*_FIRST, *(hint for name, *_, hint, _ in _PLUGINS if name not in (*_INSIDE, "basic-auth"))])
INSIDE = "|".join(hint for name, *_, hint, _ in _PLUGINS if name in _INSIDE)
"""Hints of what shows itself by its form alone, without loading what the rules are made of."""
BEGINNINGS = "|".join([*_FIRST, *(hint for name, *_, hint, _ in _PLUGINS if name in ("aws-key", "github", "gitlab", "pypi", "stripe", "square"))])
"""Of those, the hints that a secret alone begins with."""
