"""Which remotes are accepted. A wrong yes runs a program of somebody else's choosing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.git import check_remote_url
from sidecar.adapters.git.errors import without_credentials
from sidecar.domain.errors import SidecarError


@pytest.mark.parametrize(
    ("text", "display", "kind"),
    [
        ("https://git.example.org/me/vault.git", "https://git.example.org/me/vault.git", "https"),
        ("https://me:s3cret@git.example.org:8443/v.git", "https://git.example.org:8443/v.git", "https"),
        ("https://ghp_token@git.example.org/v.git", "https://git.example.org/v.git", "https"),
        ("http://localhost:3000/v.git", "http://localhost:3000/v.git", "https"),
        ("http://127.0.0.1/v.git", "http://127.0.0.1/v.git", "https"),
        ("http://[::1]:8080/v.git", "http://[::1]:8080/v.git", "https"),
        ("ssh://git@git.example.org:2222/~/v.git", "ssh://git@git.example.org:2222/~/v.git", "ssh"),
        ("ssh://git:s3cret@git.example.org/v.git", "ssh://git@git.example.org/v.git", "ssh"),
        ("git@git.example.org:me/vault.git", "git@git.example.org:me/vault.git", "ssh"),
        ("git@[2001:db8::1]:vault.git", "git@[2001:db8::1]:vault.git", "ssh"),
        ("myhost:vault.git", "myhost:vault.git", "ssh"),
        ("file:///srv/git/v.git", "file:///srv/git/v.git", "file"),
        ('/srv/my vault\'s "best" \U0001f600.git', '/srv/my vault\'s "best" \U0001f600.git', "file"),
        ("/srv/a?b#c.git", "/srv/a?b#c.git", "file"),
        ("  /srv/v.git\n", "/srv/v.git", "file"),
    ],
)
def test_what_people_paste_is_accepted(text: str, display: str, kind: str) -> None:
    url = check_remote_url(text, windows=False)
    assert (url.url, url.display, url.kind) == (text.strip(), display, kind)


@pytest.mark.parametrize("text", ["C:\\vaults\\v.git", "d:/vaults/my v.git", "\\\\nas\\share\\v.git"])
def test_windows_paths_are_files_on_windows_and_never_ssh_hosts(text: str) -> None:
    assert check_remote_url(text, windows=True).kind == "file"
    with pytest.raises(SidecarError, match="Windows"):
        check_remote_url(text, windows=False)


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "-uhttps://x/y", "--upload-pack=touch /tmp/x", "relative/path", "./v.git", "../v.git", "~/v.git", "vault"),
        *("ext::sh -c touch% /tmp/pwned", "ext::ssh://x/y", "fd::17", "https::https://x/y", "transport::address", "x::"),
        *("git://git.example.org/v.git", "ftp://h/v.git", "ftps://h/v.git", "javascript://x/y", "HTTPS://git.example.org/v.git"),
        *("http://git.example.org/v.git", "http://localhost.evil.org/v.git", "http://127.0.0.1.evil.org/v.git"),
        *("https://git.example.org", "https:///v.git", "https://git.example.org/", "https://h/v.git?x=1", "https://h/v.git#x", "https://h/v.git?"),
        *("https://h:port/v.git", "https://h:99999/v.git", "https://[::1/v.git", "https://h/%0aHost:evil/v.git", "https://h/a b.git", "https://h\\@evil/v"),
        *("ssh://-oProxyCommand=x/v.git", "ssh://-x@h/v.git", "git@-oProxyCommand=x:v.git", "-oProxyCommand=x:v.git", "git@h:-v.git", "C:v.git"),
        *("file://server/share/v.git", "file://", "file:///", "/srv/a\nb.git", "/srv/a\0b.git", "https://h/v\t.git", "/srv/\ud800.git"),
    ],
)
def test_what_could_run_or_leak_something_is_refused(text: str) -> None:
    with pytest.raises(SidecarError) as caught:
        check_remote_url(text, windows=False)
    assert caught.value.kind == "invalidRemote"
    assert caught.value.remedy


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_accepted_as_one_of_three_kinds_or_refused(text: str, windows: bool) -> None:
    try:
        url = check_remote_url(text, windows=windows)
    except SidecarError as error:
        assert error.kind == "invalidRemote"  # noqa: PT017
        return
    assert url.kind in ("https", "ssh", "file")
    assert not url.url.startswith("-")
    assert "::" not in url.url.split("/")[0] or url.kind == "ssh"
    assert check_remote_url(url.url, windows=windows) == url


@given(st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True), st.from_regex(r"[A-Za-z0-9_+!-]{4,20}", fullmatch=True), st.sampled_from(["https", "ssh"]))
def test_a_password_is_never_displayed(user: str, password: str, scheme: str) -> None:
    url = check_remote_url(f"{scheme}://{user}:PW{password}@git.example.org/v.git")
    assert f"PW{password}" not in url.display
    assert f"PW{password}" in url.url
    assert f"PW{password}" not in without_credentials(f"fatal: unable to access '{url.url}/': no")


@given(st.sampled_from(["ext", "fd", "https", "ssh", "file", "x-y"]), st.text(max_size=30))
def test_no_remote_helper_gets_through(name: str, rest: str) -> None:
    with pytest.raises(SidecarError):
        check_remote_url(f"{name}::{rest}", windows=False)
