"""A language model on loopback that does what the prompt says: no key, no network, the same words for the same request.

A prompt carries its script: `{{write a.txt 30; todo 3; text 10}}`. Each tool is one round trip, the rest is the answer:
  text N      final answer of N words           write FILE N   the `write` tool, N words
  todo N      `todowrite` with N items          task WORDS     a subagent, which opencode keeps as a child session
  bash WORDS  the `bash` tool                   slow SECONDS   between streamed chunks
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_WORDS = (
    "sync",
    "merge",
    "union",
    "branch",
    "queue",
    "cache",
    "token",
    "shard",
    "ledger",
    "frame",
    "cursor",
    "probe",
    "kernel",
    "session",
    "überprüfung",
    "同期",
    "данные",
    "naïve",
    "emoji🙂",
)
_SCRIPT = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_STATES = ("completed", "in_progress", "pending", "cancelled")
_PROMPT_TOKENS = 100

Message = dict[str, Any]


class MockProvider:
    """Serves the OpenAI chat API until `close`. `answers` counts the final answers it gave, titles not among them."""

    def __init__(self) -> None:
        self.answers = 0
        provider = self

        class Handler(_Handler):
            owner = provider

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: MockProvider

    def log_message(self, *_: object) -> None:
        """Tests print what matters themselves."""

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "mock-1", "object": "model"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        request: Message = json.loads(raw)
        messages: list[Message] = request["messages"]
        rng = random.Random(hashlib.sha256(raw).hexdigest())
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if not request.get("tools"):
            # Titles and summaries come without tools: name the session after its prompt.
            said = [_text(message["content"]) for message in messages if message["role"] == "user"]
            self._say([_SCRIPT.sub("", said[-1] if said else "").strip(' "\n')[:40] or _words(rng, 3)], 0)
            return
        steps, done = _script(messages)
        options = {name: rest for name, rest in steps if name in ("text", "slow")}
        calls = [(name, rest) for name, rest in steps if name not in options]
        if done < len(calls):
            self._call(*_tool(rng, *calls[done]))
            return
        self.owner.answers += 1
        self._say(re.findall(r"\S+\s*", _words(rng, int(options.get("text") or 12))), float(options.get("slow") or 0))

    def _say(self, chunks: Iterable[str], delay: float) -> None:
        count = 0
        for chunk in chunks:
            count += 1
            self._event({"role": "assistant", "content": chunk})
            time.sleep(delay)
        self._finish("stop", count)

    def _call(self, tool: str, arguments: Message) -> None:
        call = {"name": tool, "arguments": json.dumps(arguments)}
        self._event({"role": "assistant", "tool_calls": [{"index": 0, "id": f"call_{time.time_ns():x}", "type": "function", "function": call}]})
        self._finish("tool_calls", 1)

    def _finish(self, reason: str, count: int) -> None:
        self._event({}, reason, {"prompt_tokens": _PROMPT_TOKENS, "completion_tokens": count, "total_tokens": _PROMPT_TOKENS + count})
        self._write(b"data: [DONE]\n\n")

    def _event(self, delta: Message, reason: str | None = None, usage: Message | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        event: Message = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": int(time.time()), "model": "mock-1", "choices": [choice]}
        if usage:
            event["usage"] = usage
        self._write(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _write(self, data: bytes) -> None:
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass  # opencode aborted the turn


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(count))


def _script(messages: list[Message]) -> tuple[list[tuple[str, str]], int]:
    """(steps of the newest prompt that has a script, tool rounds since)."""
    for index in range(len(messages) - 1, -1, -1):
        found = _SCRIPT.findall(_text(messages[index]["content"])) if messages[index]["role"] == "user" else []
        if found:
            steps = [step.strip().partition(" ") for step in found[-1].split(";") if step.strip()]
            return [(name, rest) for name, _, rest in steps], sum(message["role"] == "tool" for message in messages[index + 1 :])
    return [], 0


def _tool(rng: random.Random, name: str, rest: str) -> tuple[str, Message]:
    words = rest.split()
    if name == "write":
        return "write", {"filePath": words[0], "content": _words(rng, int(words[1])) + "\n"}
    if name == "bash":
        return "bash", {"command": rest, "description": "Runs a command"}
    if name == "todo":
        return "todowrite", {"todos": [_todo(rng, index) for index in range(int(words[0]))]}
    if name == "task":
        return "task", {"description": "mock subtask", "prompt": rest, "subagent_type": "general"}
    raise ValueError(f"no such step in a mock prompt: {name}")


def _todo(rng: random.Random, index: int) -> Message:
    return {"id": str(index + 1), "content": _words(rng, 4), "status": _STATES[index % 4], "priority": ("high", "medium", "low")[index % 3]}
