"""Secrets stay: what is found, what it is called, and that it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.secrets.settings import looks_secret
from sidecar.domain.config_secrets import Scrubbed, scrub, unscrub

PLAIN = st.sampled_from(["plain", "anthropic/claude", "{env:HOME}", "{file:~/.key}", "https://x.invalid/a?b=c", "--token", "npx", "true", "", "a b"])
HIDDEN = st.sampled_from(
    [
        "Bearer s3cr3t",
        "sk-ant-REALLYSECRET0123456789",
        "https://user:pw-secret@x.invalid/a",
        "https://x.invalid/?api_key=s3cr3t&x=1",
        "--password=s3cr3t",
        "s3cr3t",
    ]
)
TEXT = st.one_of(PLAIN, HIDDEN)
KEY = st.sampled_from(["Authorization", "API_KEY", "x-api-key", "apiKey", "token", "url", "NODE_ENV"])
SERVER = st.fixed_dictionaries(
    {},
    optional={
        "url": TEXT,
        "headers": st.dictionaries(KEY, TEXT, max_size=2),
        "environment": st.dictionaries(KEY, TEXT, max_size=2),
        "command": st.lists(TEXT, max_size=3),
        "oauth": st.fixed_dictionaries({}, optional={"clientSecret": TEXT, "clientId": PLAIN}),
    },
)
NAME = st.sampled_from(["a", "b-c", "b.c", "b c"])
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "mcp": st.dictionaries(NAME, SERVER, max_size=3),
        "provider": st.dictionaries(NAME, st.fixed_dictionaries({"options": st.dictionaries(KEY, TEXT, max_size=2)}), max_size=2),
        "plugin": st.lists(st.one_of(PLAIN, st.tuples(PLAIN, st.dictionaries(KEY, TEXT, max_size=2)).map(list)), max_size=2),
    },
)


def clean(value: Any, known: Any = None, values: dict[str, str] | None = None, environ: tuple[str, ...] = ()) -> Scrubbed:
    return scrub(value, known, values or {}, lambda name: name in environ, looks_secret)


@given(CONFIGS)
def test_what_was_taken_out_comes_back_and_nothing_is_left(value: Any) -> None:
    done = clean(value)
    assert unscrub(done.value, done.names) == value, "a secret was lost, or came back in another place"
    again = clean(done.value)
    assert again.value == done.value
    assert not again.names
    for secret in ("s3cr3t", "REALLYSECRET", "pw-secret"):
        for kind in ("headers", "oauth"):
            for server in done.value.get("mcp", {}).values():
                assert secret not in json.dumps(server.get(kind, {}))
        assert secret == "s3cr3t" or secret not in json.dumps(done.value)


@given(CONFIGS, CONFIGS)
def test_names_stay_what_they_are_and_never_mean_two_things(first: Any, second: Any) -> None:
    one = clean(first)
    again = clean(first, known=one.value, values=one.names)
    assert again.value == one.value, "the names changed: every cycle would push"
    other = clean(second, known=one.value, values=one.names)
    assert unscrub(other.value, one.names | other.names) == second


def test_a_variable_of_the_users_own_never_becomes_the_name_of_a_secret() -> None:
    """The variable was in the place where a secret is now, and is still used in another one."""
    known = clean({"provider": {"p": {"options": {"apiKey": "{env:MINE}"}}}}).value
    here = {"provider": {"p": {"options": {"apiKey": "s3cr3t", "token": "{env:MINE}"}}}}
    done = clean(here, known=known)
    assert "MINE" not in done.names
    assert unscrub(done.value, done.names) == here, "the secret was written where the user's own variable stood"


def test_a_name_of_ours_stays_where_its_user_has_put_it_elsewhere_too() -> None:
    first = clean({"provider": {"p": {"options": {"apiKey": "s3cr3t"}}}})
    (name,) = first.names
    here = {"provider": {"p": {"options": {"apiKey": "s3cr3t", "token": f"{{env:{name}}}"}}}}
    assert clean(here, known=first.value, values=first.names).names == first.names, "other machines would not know the secret any more"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("mcp", "a", "headers", "Authorization"), "Bearer {env:opencode_mcp_A_AUTHORIZATION}"),
        (("mcp", "a", "headers", "API_KEY"), "{env:API_KEY}"),
        (("mcp", "a", "headers", "X-Custom"), "{env:opencode_mcp_A_X_CUSTOM}"),
        (("mcp", "a", "oauth", "clientSecret"), "{env:opencode_mcp_A_OAUTH_CLIENT_SECRET}"),
    ],
)
def test_names_are_those_of_opencode_synced(path: tuple[str, ...], value: str) -> None:
    given_value = "Bearer abc" if value.startswith("Bearer") else "abc"
    config: Any = given_value
    for key in reversed(path):
        config = {key: config}
    found = clean(config).value
    for key in path:
        found = found[key]
    assert found == value


def test_t20_two_servers_with_one_header_get_two_names() -> None:
    value = {"mcp": {name: {"headers": {"API_KEY": f"secret-of-{name}"}} for name in ("a", "b", "a!", "a?")}}
    done = clean(value)
    used = [server["headers"]["API_KEY"] for server in done.value["mcp"].values()]
    assert len(set(used)) == 4, "a secret would be sent to the wrong server"
    assert unscrub(done.value, done.names) == value


def test_a_name_that_means_something_here_already_is_not_taken() -> None:
    value = {"mcp": {"a": {"headers": {"API_KEY": "x1"}}}, "theme": "{env:opencode_mcp_A_API_KEY}"}
    done = clean(value, environ=("API_KEY",))
    assert set(done.names) == {"opencode_mcp_A_API_KEY_2"} or set(done.names).isdisjoint({"API_KEY", "opencode_mcp_A_API_KEY"})


T21 = {
    "environment": {"mcp": {"a": {"environment": {"GITHUB_TOKEN": "abc", "DATABASE_URL": "postgres://u:abc@h/db", "OPAQUE": "abcdef0123456789abcdef"}}}},
    "apiKey": {"provider": {"p": {"options": {"apiKey": "abc"}}}},
    "arguments": {"mcp": {"a": {"command": ["x", "--token", "abc", "--api-key=abc", "TOKEN=abc", "Authorization: Bearer abc"]}}},
    "url": {"mcp": {"a": {"url": "https://abc@h.invalid/x?token=abc"}}},
    "plugin": {"plugin": [["p", {"secret": "abc", "nested": {"password": "abc"}}]]},
    "anywhere": {"instructions": ["see ghp_abcabcabcabcabcabcabcabcabcabcabcabc"]},
}


@pytest.mark.parametrize("case", T21)
def test_t21_every_place_that_may_hold_a_secret_is_covered(case: str) -> None:
    done = clean(T21[case])
    assert "abc" not in json.dumps(done.value).replace("{env:", ""), done.value
    assert unscrub(done.value, done.names) == T21[case]


def test_ordinary_settings_travel() -> None:
    value = {
        "model": "anthropic/claude-sonnet-4-20250514",
        "provider": {
            "p": {
                "options": {"baseURL": "https://api.invalid/v1", "timeout": 600000, "headers": {"User-Agent": "x"}},
                "models": {"m": {"limit": {"output": 8}}},
            }
        },
        "mcp": {"a": {"type": "local", "command": ["npx", "-y", "@scope/server-name@1.2.3", "--port", "80"], "environment": {"NODE_ENV": "production"}}},
        "keybinds": {"leader": "ctrl+x"},
        "permission": {"bash": {"git status": "allow", "cat *token*": "deny"}, "read": {"*secret*": "deny", "secret": "ask"}, "my-token": "allow"},
        "instructions": ["docs/*.md"],
    }
    assert clean(value).moved == []
