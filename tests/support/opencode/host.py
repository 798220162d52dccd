"""The real opencode on an isolated machine, driven by a mock language model on loopback.

Mock language, anywhere in a prompt: {{text 40}} a final answer of 40 words; {{write a.txt 30}}, {{todo 3}}, {{task words}},
{{bash echo hi}} one tool call each; {{slow 0.2}} seconds between streamed chunks. Several are separated by ";".
"""

# ruff: noqa: E701, E702, B904, S, UP031, UP024, SIM115, PTH, N, ARG, B028
from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ("sync merge union record branch lock queue index cache token shard vector commit ledger "
         "frame socket buffer schema cursor delta probe signal kernel plugin session message part "
         "überprüfung 同期 данные naïve façade emoji🙂").split()


def words(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


# ------------------------------------------------------------------ mock provider
def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(p.get("text", "") for p in content or [] if isinstance(p, dict))


def plan(messages):
    """Returns (steps, index of the next step) from the newest directive and the tool rounds since."""
    last = None
    for i, m in enumerate(messages):
        if m["role"] == "user" and "{{" in text_of(m["content"]):
            last = i
    if last is None:
        return [], 0
    got = re.findall(r"\{\{(.*?)\}\}", text_of(messages[last]["content"]), re.S)
    steps = [s.strip() for s in got[-1].split(";") if s.strip()]
    done = sum(1 for m in messages[last + 1:] if m["role"] == "tool")
    return steps, done


TOOLS = ("write", "todo", "task", "bash", "read")


class Mock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def do_GET(self):
        b = json.dumps({"object": "list", "data": [{"id": "mock-1", "object": "model"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(raw)
        if getattr(self.server, "log", None):
            self.server.log.write(raw.decode() + "\n")
            self.server.log.flush()
        msgs = body["messages"]
        rng = random.Random(hashlib.sha256(raw).hexdigest())
        system = " ".join(text_of(m["content"]) for m in msgs if m["role"] == "system")
        users = [text_of(m["content"]) for m in msgs if m["role"] == "user"]
        has_tools = bool(body.get("tools"))
        if "title generator" in system.lower() or "generate a title" in (users[0].lower() if users else ""):
            tail = re.sub(r"\{\{.*?\}\}", "", users[-1] if users else "", flags=re.S).strip(' "\n')
            return self.stream([("text", "Title: " + (tail[:40] or words(rng, 3)))], 0)
        steps, done = plan(msgs)
        opts = {s.split()[0]: s.split()[1:] for s in steps}
        if "error" in opts and has_tools:
            self.send_response(int(opts["error"][0]))
            self.send_header("content-length", "0")
            self.end_headers()
            return
        delay = float(opts["slow"][0]) if "slow" in opts else 0
        calls = [s for s in steps if s.split()[0] in TOOLS]
        out = []
        if "reason" in opts:
            out.append(("reason", words(rng, int(opts["reason"][0]))))
        if has_tools and done < len(calls):
            name, _, rest = calls[done].partition(" ")
            out.append(("tool", self.call(rng, name, rest)))
        else:
            n = int(opts["text"][0]) if "text" in opts and opts["text"] else 12
            out.append(("text", words(rng, n)))
        self.stream(out, delay)

    def call(self, rng, name, rest):
        a = rest.split()
        if name == "write":
            return "write", {"filePath": os.path.join(self.server.cwd(self), a[0]) if not a[0].startswith("/") else a[0],
                             "content": words(rng, int(a[1]) if len(a) > 1 else 20) + "\n"}
        if name == "read":
            return "read", {"filePath": a[0]}
        if name == "bash":
            return "bash", {"command": rest, "description": "Runs a command"}
        if name == "todo":
            n = int(a[0]) if a else 3
            st = ["completed", "in_progress", "pending", "cancelled"]
            return "todowrite", {"todos": [{"id": str(i + 1), "content": words(rng, 4), "status": st[i % 4],
                                            "priority": ["high", "medium", "low"][i % 3]} for i in range(n)]}
        return "task", {"description": "mock subtask", "prompt": rest or "say something", "subagent_type": "general"}

    def stream(self, items, delay):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        n = 0
        finish = "stop"
        for kind, v in items:
            if kind in ("text", "reason"):
                key = "content" if kind == "text" else "reasoning_content"
                toks = re.findall(r"\S+\s*", v)
                step = max(1, len(toks) // 200)
                for i in range(0, len(toks), step):
                    n += 1
                    self.ev({"role": "assistant", key: "".join(toks[i:i + step])})
                    if delay:
                        time.sleep(delay)
            else:
                finish = "tool_calls"
                name, args = v
                cid = "call_" + hashlib.sha1((name + json.dumps(args) + str(time.time_ns())).encode()).hexdigest()[:20]
                self.ev({"role": "assistant", "tool_calls": [
                    {"index": 0, "id": cid, "type": "function", "function": {"name": name, "arguments": ""}}]})
                s = json.dumps(args)
                for i in range(0, len(s), 4000):
                    self.ev({"tool_calls": [{"index": 0, "function": {"arguments": s[i:i + 4000]}}]})
                    if delay:
                        time.sleep(delay)
        self.ev({}, finish, {"prompt_tokens": 100, "completion_tokens": n, "total_tokens": 100 + n})
        self.wfile.write(b"data: [DONE]\n\n")

    def ev(self, delta, finish=None, usage=None):
        o = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": int(time.time()), "model": "mock-1",
             "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        if usage:
            o["usage"] = usage
        try:
            self.wfile.write(b"data: " + json.dumps(o).encode() + b"\n\n")
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass


def start_mock(port=0, log=None):
    srv = ThreadingHTTPServer(("127.0.0.1", port), Mock)
    srv.daemon_threads = True
    srv.log = open(log, "a") if log else None
    srv.cwd = lambda _h: ""          # relative paths: opencode resolves them against the session directory
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    return srv, "http://127.0.0.1:%d/v1" % srv.server_address[1]


# ------------------------------------------------------------------ an isolated machine
class Machine:
    def __init__(self, root, binary, mock_url=None):
        self.root = os.path.abspath(root)
        self.bin = os.path.abspath(binary)
        self.mock_url = mock_url
        self.proc = None
        for d in ("home", "data", "config/opencode", "cache", "state", "work"):
            os.makedirs(os.path.join(self.root, d), exist_ok=True)
        if mock_url:
            self.write_config(mock_url)

    def p(self, *a):
        return os.path.join(self.root, *a)

    @property
    def db(self):
        return self.p("data/opencode/opencode.db")

    def write_config(self, url):
        cfg = {"$schema": "https://opencode.ai/config.json", "share": "disabled", "autoupdate": False,
               "model": "mock/mock-1", "small_model": "mock/mock-1", "permission": "allow",
               "lsp": False, "formatter": False,
               "provider": {"mock": {"npm": "@ai-sdk/openai-compatible", "name": "Mock",
                                     "options": {"baseURL": url, "apiKey": "mock-key-not-secret"},
                                     "models": {"mock-1": {"name": "Mock 1", "tool_call": True, "reasoning": True,
                                                           "attachment": True,
                                                           "modalities": {"input": ["text", "image"], "output": ["text"]},
                                                           "limit": {"context": 200000, "output": 8192}}}}}}
        with open(self.p("config/opencode/opencode.json"), "w") as f:
            json.dump(cfg, f, indent=1)

    def env(self, **more):
        e = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.p("home"), "TERM": "dumb", "LANG": "C.UTF-8",
             "XDG_DATA_HOME": self.p("data"), "XDG_CONFIG_HOME": self.p("config"),
             "XDG_CACHE_HOME": self.p("cache"), "XDG_STATE_HOME": self.p("state"),
             "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1",
             "OPENCODE_DISABLE_LSP_DOWNLOAD": "1", "OPENCODE_DISABLE_SHARE": "1",
             "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "lab", "GIT_AUTHOR_EMAIL": "lab@example.invalid",
             "GIT_COMMITTER_NAME": "lab", "GIT_COMMITTER_EMAIL": "lab@example.invalid"}
        e.update(more)
        return e

    def oc(self, *args, cwd=None, timeout=180, check=True, env=None):
        r = subprocess.run([self.bin, *args], cwd=cwd or self.p("work"), env=self.env(**(env or {})),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        if check and r.returncode:
            raise RuntimeError("opencode %s -> %d\n%s\n%s" % (
                args, r.returncode, r.stdout.decode(errors="replace")[-2000:], r.stderr.decode(errors="replace")[-2000:]))
        return r

    def git(self, cwd, *args):
        return subprocess.run(["git", *args], cwd=cwd, env=self.env(), check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode().strip()

    def projects(self, clone_of=None):
        """work/app (git), work/app-wt (a worktree of it), work/lib (git), work/plain (no git)."""
        for name in ("app", "lib"):
            d = self.p("work", name)
            if os.path.isdir(d):
                continue
            if clone_of:
                subprocess.run(["git", "clone", "-q", os.path.join(clone_of, "work", name), d], env=self.env(), check=True)
                continue
            os.makedirs(os.path.join(d, "src"))
            self.git(d, "init", "-q", "-b", "main")
            for f in ("README.md", "src/main.py"):
                with open(os.path.join(d, f), "w") as h:
                    h.write("# %s %s\n" % (name, f))
            self.git(d, "add", "-A")
            self.git(d, "commit", "-q", "-m", "root of " + name)
        if not os.path.isdir(self.p("work/app-wt")):
            self.git(self.p("work/app"), "worktree", "add", "-q", "-b", "wt", self.p("work/app-wt"))
        os.makedirs(self.p("work/plain"), exist_ok=True)
        os.makedirs(self.p("work/app/src"), exist_ok=True)

    # ---- server
    def start(self, port=0, cwd=None, env=None):
        self.logf = open(self.p("serve.log"), "ab+")
        at = self.logf.seek(0, 2)
        self.proc = subprocess.Popen([self.bin, "serve", "--port", str(port), "--hostname", "127.0.0.1"],
                                     cwd=cwd or self.p("work/app"), env=self.env(**(env or {})),
                                     stdin=subprocess.DEVNULL, stdout=self.logf, stderr=self.logf, start_new_session=True)
        end = time.time() + 90
        while time.time() < end:
            with open(self.p("serve.log"), "rb") as f:
                f.seek(at)
                m = re.search(rb"listening on (http://127\.0\.0\.1:\d+)", f.read())
            if m:
                self.url = m.group(1).decode()
                break
            if self.proc.poll() is not None:
                raise RuntimeError("serve ended: see serve.log")
            time.sleep(0.1)
        else:
            self.stop()
            raise RuntimeError("serve did not start")
        while time.time() < end:      # a request sent the moment it listens can hang: short timeouts, retry
            try:
                self.api("GET", "/path", timeout=3)
                return self.url
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
            except RuntimeError:                 # an HTTP error: the database or the project is broken
                self.stop()
                raise
        self.stop()
        raise RuntimeError("serve does not answer")

    def stop(self):
        # A first SIGTERM can be swallowed by the npm code of opencode's background install: repeat it.
        for _ in range(6):
            if not self.proc or self.proc.poll() is not None:
                break
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(2)
            except subprocess.TimeoutExpired:
                pass
        else:
            self.proc.kill()
            self.proc.wait(10)
        self.proc = None

    def api(self, method, path, body=None, cwd=None, timeout=180):
        url = self.url + path
        req = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
        req.add_header("content-type", "application/json")
        req.add_header("x-opencode-directory", cwd or self.p("work/app"))
        try:
            with urllib.request.urlopen(req, timeout=timeout) as r:
                raw = r.read()
        except urllib.error.HTTPError as e:
            raise RuntimeError("%s %s -> %d %s" % (method, path, e.code, e.read()[:1500])) from None
        return json.loads(raw) if raw else None

    def new(self, cwd=None, **body):
        return self.api("POST", "/session", body, cwd)

    def ask(self, sid, text, cwd=None, parts=None, **more):
        body = {"parts": [{"type": "text", "text": text}] + (parts or [])}
        body.update(more)
        return self.api("POST", "/session/%s/message" % sid, body, cwd)
