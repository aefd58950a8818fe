"""Floors: what the same stack does when it does nothing. `python -m tests.bench.floors NAME`.

`starlette` answers a JSON POST; `sdk` offers one tool that does nothing, on the SDK with the very
settings of our own server. Both run under uvicorn with uvloop and httptools, as ours does.
"""

import json
import os
import sys
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from http_api.serving import KEEP_ALIVE_SECONDS, listen
from kyros_collab_server.mcp_face import sdk_gaps


async def _answer(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse({"ok": True, "seq": len(body)})


def bare_starlette() -> Starlette:
    """A JSON POST that is parsed and answered."""
    return Starlette(routes=[Route("/", _answer, methods=["POST"])])


def noop(text: str, request_id: str) -> dict[str, Any]:
    """Does nothing."""
    return {"ok": True, "seq": len(text) + len(request_id)}


def bare_sdk() -> Starlette:
    """One tool that does nothing."""
    server = sdk_gaps.new_server(version="0", instructions="", tools=[], middleware=[])
    server.add_tool(noop)
    return server.streamable_http_app(json_response=True)


APPS = {"starlette": bare_starlette, "sdk": bare_sdk}


async def serve(name: str) -> None:
    """Serve a floor until a signal ends it; one line on stdout says where."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        APPS[name](),
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    print(json.dumps({"api_url": url, "token": "", "pid": os.getpid()}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
