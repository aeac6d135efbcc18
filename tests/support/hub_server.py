"""A loopback server that speaks enough of the hub's HTTP interface to fetch models from it.

Repositories are folders. A model's information, its tree and its files are answered as the hub
does, with the headers that its client reads: commit, ETag, size and, on errors, their code.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from loopback import running


@dataclass
class Hub:
    """What the server has.

    Attributes:
        repositories: Folder of each id; all revisions have the same files.
        commits: The commit that each revision stands for.
        gated: Ids whose information anybody sees, but whose files nobody gets.
        withheld: Names of files that nobody gets.
        port: Its port.
        fetched: The files that were sent, in order, as id/path.
        asked: All requests, as method and path.
    """

    repositories: dict[str, Path] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=lambda: {"main": "c" * 40, "v1": "d" * 40})
    gated: set[str] = field(default_factory=set)
    withheld: set[str] = field(default_factory=set)
    port: int = 0
    fetched: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def commit(self, revision: str) -> str | None:
        return revision if revision in self.commits.values() else self.commits.get(revision)


@contextmanager
def serve() -> Iterator[Hub]:
    """A server that runs until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            words = unquote(urlsplit(self.path).path).strip("/").split("/")
            if words[:2] == ["api", "models"]:
                self.answer_question("/".join(words[2:4]), words[4:])
            elif len(words) > 4 and words[2] == "resolve":
                self.answer_file("/".join(words[:2]), words[3], "/".join(words[4:]))
            else:
                self.refuse(404, "EntryNotFound")

        do_HEAD = do_GET

        def answer_question(self, name: str, words: list[str]) -> None:
            if name not in hub.repositories:  # the hub does not say what is private
                return self.refuse(401, "RepoNotFound")
            commit = hub.commit(words[1] if words else "main")
            if commit is None:
                return self.refuse(404, "RevisionNotFound")
            folder = hub.repositories[name]
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            if words[:1] == ["tree"]:
                return self.answer_json([self.entry(folder, path) for path in paths])
            siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in paths]
            return self.answer_json({"id": name, "sha": commit, "siblings": siblings})

        def answer_file(self, name: str, revision: str, path: str) -> None:
            if name not in hub.repositories:
                return self.refuse(401, "RepoNotFound")
            commit = hub.commit(revision)
            if commit is None:
                return self.refuse(404, "RevisionNotFound")
            if name in hub.gated:
                return self.refuse(403, "GatedRepo")
            file = hub.repositories[name] / path
            if not file.is_file():
                return self.refuse(404, "EntryNotFound")
            if file.name in hub.withheld:
                return self.refuse(403)
            body = file.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                hub.fetched.append(f"{name}/{path}")
                self.wfile.write(body)
            return None

        def entry(self, folder: Path, path: Path) -> dict[str, object]:
            name = path.relative_to(folder).as_posix()
            oid = hashlib.sha1(path.read_bytes()).hexdigest()
            return {"type": "file", "path": name, "size": path.stat().st_size, "oid": oid}

        def answer_json(self, values: object) -> None:
            body = json.dumps(values).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def refuse(self, status: int, code: str | None = None) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with running(Handler) as hub.port:
        yield hub
