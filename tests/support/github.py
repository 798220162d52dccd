"""A stand-in for GitHub on loopback: the API that gh asks, and repositories that git reaches over https.

Real gh and real git come through a proxy, as they do in many companies: they ask it for `api.github.com` and `github.com`, it answers
itself, and its certificate is the one they are told to trust. Addresses, logins and git's own protocol are GitHub's.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socketserver
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import edits
from tests.support.gitremote import bare, git
from tests.support.machines import Machine, from_schema

REAL_GH = shutil.which("gh")
"""None: GitHub's command line is not installed, and what needs it cannot be tested."""
TOKEN = "gho_" + "Tr4velsNowhere".ljust(36, "0")
LOGIN = "ada"
OTHER_HOST = "git.example.org"
HOSTS = ("github.com", "api.github.com", OTHER_HOST)
"""The last one is some other git host, with the same repositories and logins, and no API."""


@dataclass
class Repository:
    path: Path
    private: bool = True
    internal: bool = False

    @property
    def empty(self) -> bool:
        return not any((self.path / "refs/heads").rglob("*")) and not (self.path / "packed-refs").exists()

    def fields(self, full_name: str) -> dict[str, Any]:
        owner, name = full_name.split("/")
        visibility = "INTERNAL" if self.internal else "PRIVATE" if self.private else "PUBLIC"
        return {
            "id": f"R_{name}",
            "name": name,
            "nameWithOwner": full_name,
            "owner": {"id": "U_1", "login": owner},
            "isPrivate": self.private or self.internal,
            "visibility": visibility,
            "isEmpty": self.empty,
            "isArchived": False,
            "isInOrganization": owner != LOGIN,
            "sshUrl": f"git@github.com:{full_name}.git",
            "url": f"https://github.com/{full_name}",
        }


@dataclass
class OnGitHub(Machine):
    """A machine whose user has gh. `more`: of their environment."""

    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | self.more


def on(tmp_path: Path, hub: GitHub, name: str, *, logged_in: bool = True, **more: str) -> OnGitHub:
    """One with a database in which there is one session, named after the machine. `more`: of the environment."""
    root = from_schema(tmp_path / name).root
    made = OnGitHub(root, more=hub.environ(logged_in=logged_in) | more)
    connection = made.connect()
    now = int(time.time() * 1000) - 60_000
    edits.new_session(connection, f"ses_{name}", now, title=f"of {name}")
    edits.add_turn(connection, f"ses_{name}", name, now)
    connection.close()
    return made


def fails(machine: Machine, kind: str, *arguments: str) -> dict[str, Any]:
    """The error of a command that is to fail."""
    done = machine.run("--json", *arguments)
    assert "Traceback" not in done.stderr
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert (error["kind"], done.returncode) == (kind, 1), error
    assert TOKEN not in done.stdout + done.stderr, "the user's token was printed"
    return error


@dataclass
class GitHub:
    """`orgs`: name -> whether ada may create repositories there. `asked`: what was asked of the API, in order. `pushed_as`: users of git."""

    root: Path
    repositories: dict[str, Repository] = field(default_factory=dict)
    orgs: dict[str, bool] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    pushed_as: set[str] = field(default_factory=set)
    down: bool = False

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*_certificate(self.root))
        self._server = _Proxy(("127.0.0.1", 0), _handler(self, context))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def log_in(self) -> None:
        """As `gh auth login` leaves it."""
        folder = self.root / "gh"
        folder.mkdir(exist_ok=True)
        (folder / "hosts.yml").write_text(f"github.com:\n    oauth_token: {TOKEN}\n    user: {LOGIN}\n    git_protocol: https\n")

    def environ(self, *, logged_in: bool = True) -> dict[str, str]:
        """For gh and git, in the user's own environment; logged in by a token in there."""
        certificate = str(self.root / "certificate.pem")
        proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        said = {"HTTPS_PROXY": proxy, "https_proxy": proxy, "SSL_CERT_FILE": certificate, "GIT_SSL_CAINFO": certificate, "NO_PROXY": "127.0.0.1"}
        return said | {"GH_CONFIG_DIR": str(self.root / "gh")} | ({"GH_TOKEN": TOKEN} if logged_in else {})

    def add(self, full_name: str, *, private: bool = True, internal: bool = False) -> Repository:
        made = Repository(bare(self.root / "repositories" / f"{full_name}.git"), private, internal)
        self.repositories[full_name] = made
        return made

    # --- what gh asks -------------------------------------------------------------------------------------------------
    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/graphql":
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            self.asked.append(name[1] if name else asked["query"][:40])
            return 200, self._graphql(asked["query"], asked.get("variables") or {})
        self.asked.append(f"{method} {path}")
        if path == "/user":
            return 200, {"login": LOGIN, "id": 1}
        if found := re.fullmatch(r"/users/([^/]+)", path):
            known = found[1] == LOGIN or found[1] in self.orgs
            said = {"login": found[1], "node_id": "O_1" if found[1] in self.orgs else "U_1", "type": "Organization" if found[1] in self.orgs else "User"}
            return (200, said) if known else (404, {"message": "Not Found"})
        if (found := re.fullmatch(r"/repos/([^/]+/[^/]+)(?:/contents/(.+))?", path)) and found[1] in self.repositories:
            made = self.repositories[found[1]]
            if found[2] is None:
                return 200, {"full_name": found[1], "visibility": made.fields(found[1])["visibility"].lower()}
            if git(made.path, "ls-tree", "HEAD", found[2], check=False):
                return 200, {"path": found[2]}
        return 404, {"message": "Not Found"}

    def _graphql(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        if "createRepository" in query:
            return self._create(given["input"])
        if "repositories(" in query:
            mine = [made.fields(name) for name, made in self.repositories.items() if name.startswith(f"{LOGIN}/")]
            page = {"nodes": mine, "totalCount": len(mine), "pageInfo": {"hasNextPage": False, "endCursor": ""}}
            return {"data": {"repositoryOwner": {"login": LOGIN, "repositories": page}}}
        if "repository(" in query:
            full_name = f"{given['owner']}/{given['name']}"
            made = self.repositories.get(full_name)
            if made is None:
                said = f"Could not resolve to a Repository with the name '{full_name}'."
                return {"data": {"repository": None}, "errors": [{"type": "NOT_FOUND", "path": ["repository"], "message": said}]}
            return {"data": {"repository": made.fields(full_name)}}
        return {"data": {"viewer": {"login": LOGIN}}}

    def _create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        in_org = wanted.get("ownerId", "U_1").startswith("O")
        owner = next(iter(self.orgs)) if in_org else LOGIN
        full_name = f"{owner}/{wanted['name']}"
        why = "Name already exists on this account" if full_name in self.repositories else ""
        if in_org and not self.orgs[owner]:
            why = f"{LOGIN} cannot create a repository for {owner}."
        if why:
            return {"data": {"createRepository": None}, "errors": [{"type": "UNPROCESSABLE", "message": why, "path": ["createRepository"]}]}
        made = self.add(full_name, private=wanted["visibility"] == "PRIVATE")
        return {"data": {"createRepository": {"repository": made.fields(full_name)}}}

    # --- what git asks ------------------------------------------------------------------------------------------------
    def git(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """git's own server for smart HTTP, behind GitHub's login."""
        path, _, query = handler.path.partition("?")
        login = handler.headers.get("Authorization", "")
        user, _, word = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":") if login.startswith("Basic ") else ("", "", "")
        if word != TOKEN:
            return 401, {"WWW-Authenticate": 'Basic realm="GitHub"'}, b"who are you?"
        self.pushed_as.add(user)
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root / "repositories"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "REMOTE_USER": user,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.root),
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environ, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        return int(headers.pop("Status", "200").split()[0]), headers, content


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are none of the test's business."""


def _handler(github: GitHub, context: ssl.SSLContext) -> type[socketserver.BaseRequestHandler]:
    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = self.request.recv(1)
                if not byte:
                    return
                head += byte
            host = head.split()[1].decode().rpartition(":")[0]
            if github.down or host not in HOSTS:
                self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with context.wrap_socket(self.request, server_side=True) as secure:
                _Site(secure, self.client_address, self.server)

    class _Site(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self._body()
            if self.headers["Host"].startswith("api."):
                status, said = github.answer(self.command, self.path, body)
                if self.headers.get("Authorization", "").split(" ")[-1] != TOKEN:
                    status, said = 401, {"message": "Bad credentials"}
                self._send(status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(said).encode())
            else:
                self._send(*github.git(self, body))

        do_GET = do_POST = _serve  # noqa: N815 - what the library calls

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Tunnel


def _certificate(folder: Path) -> tuple[str, str]:
    """A certificate for the two hosts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "github.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    return str(folder / "certificate.pem"), str(folder / "key.pem")
