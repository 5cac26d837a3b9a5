"""A local stand-in for the Hugging Face Hub: as much of its HTTP interface as an upload needs.

Weights go through Git LFS, as on the Hub for clients without Xet (HF_HUB_DISABLE_XET); everything else in the commit.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_stand_in"


@dataclass
class Repository:
    """The contents of one repository."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@dataclass
class Hub:
    """The stand-in's address and contents."""

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """Files uploaded outside commits, by SHA-256."""
    forbidden: bool = False
    full: bool = False
    """Whether it rejects large files."""


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub on a free port of 127.0.0.1, which is shut down on exit."""
    state = Hub()

    class Handler(_Handler):
        hub = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        model = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(/tree/main)?", self.path.partition("?")[0])
        if not self._allowed() or model is None or model[1] not in self.hub.repositories:
            self._answer(404, {"error": "Repository not found"})
            return
        repository = self.hub.repositories[model[1]]
        if model[2]:
            files = repository.files.items()
            self._answer(200, [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files])
        else:
            siblings = [{"rfilename": name} for name in repository.files]
            about = {"id": model[1], "private": repository.private, "sha": "0" * 40, "siblings": siblings}
            self._answer(200, about | {"tags": [], "downloads": 0})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._allowed():
            return
        if self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/preupload/main", self.path):
            files = {
                f["path"]: "lfs" if f["path"].endswith(".safetensors") else "regular" for f in json.loads(body)["files"]
            }
            self._answer(
                200, {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in files.items()]}
            )
        elif re.fullmatch(r"/[\w.-]+/[\w.-]+\.git/info/lfs/objects/batch", self.path):
            self._batch(json.loads(body)["objects"])
        elif found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/commit/main", self.path):
            self._commit(self.hub.repositories[found[1]], body)
        else:
            self._answer(404, {"error": f"no such call: {self.path}"})

    def do_PUT(self) -> None:
        """Accept a large file; its address is the only authorization, as on the Hub."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.large[hashlib.sha256(body).hexdigest()] = body
        self._answer(200, {})

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        if self.hub.full:
            self._answer(413, {"error": "You have used up your storage"})
            return
        actions = {"upload": {"href": f"{self.hub.endpoint}/large"}}
        self._answer(200, {"transfer": "basic", "objects": [o | {"actions": actions} for o in objects]})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        there = name in self.hub.repositories
        if self.hub.forbidden:
            self._answer(403, {"error": "You don't have the rights to create a model under this namespace"})
            return
        if not there:
            self.hub.repositories[name] = Repository(asked.get("visibility") == "private")
        self._answer(409 if there else 200, {"url": f"{self.hub.endpoint}/{name}"})

    def _commit(self, repository: Repository, body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                repository.commits.append(value["summary"])
            elif entry["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del repository.files[value["path"]]
        oid = f"{len(repository.commits):040d}"
        self._answer(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.endpoint}/me/x/commit/{oid}"})

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"error": "Invalid credentials in Authorization header"})
        return False

    def _answer(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """No log."""
