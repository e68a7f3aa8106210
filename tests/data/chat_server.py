"""A real HTTP server on this machine that speaks chat completions, well or badly, as a test tells it."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer of the server."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    pieces: int = 1
    """The body goes in so many pieces, each ``delay_s`` after the one before."""


def says(text: str, *, tokens: int | None = 10, finish: str = "stop", delay_s: float = 0.0) -> Reply:
    content: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": finish}]}
    content |= {} if tokens is None else {"usage": {"total_tokens": tokens}}
    return Reply(json.dumps(content).encode(), delay_s=delay_s)


def fails(status: int, text: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps({"error": {"message": text}}).encode(), status, named)


@dataclass
class ChatServer:
    """What was asked, and what is answered."""

    answer: Callable[[dict[str, Any]], Reply]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def texts(self, number: int = -1) -> list[str]:
        """The texts of one request's turns."""
        contents = [message["content"] for message in self.asked[number]["messages"]]
        return [text if isinstance(text, str) else text[-1]["text"] for text in contents]


@contextlib.contextmanager
def chat_server(*replies: Reply | str | Callable[[dict[str, Any]], Reply]) -> Iterator[ChatServer]:
    """A server that gives these replies in turn, the last one ever after; or whatever one function says."""
    waiting = [says(each) if isinstance(each, str) else each for each in replies]

    def answer(asked: dict[str, Any]) -> Reply:
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return reply if isinstance(reply, Reply) else reply(asked)

    state = ChatServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.asked.append({"path": self.path, **asked})
                state.headers.append(dict(self.headers))
                reply = state.answer(asked)
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            try:
                self._send(reply)
            finally:
                with state.lock:
                    state.at_once -= 1

        def _send(self, reply: Reply) -> None:
            with contextlib.suppress(OSError):  # the client may have gone
                if reply.pieces == 1:
                    time.sleep(reply.delay_s)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                size = -(-len(reply.body) // reply.pieces) or 1
                for start in range(0, len(reply.body), size):
                    if reply.pieces > 1:
                        time.sleep(reply.delay_s)
                    self.wfile.write(reply.body[start : start + size])
                    self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
