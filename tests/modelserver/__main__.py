"""`python -m modelserver`: the scripted model server as a process."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Any

from modelserver.rules import load
from modelserver.server import ModelServer
from modelserver.worker import Worker


async def serve(options: Any) -> None:
    script = load(options.script) if options.script else Worker()
    server = ModelServer(script, log=options.log, keep_bodies=options.bodies, host=options.host, port=options.port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(json.dumps({"port": server.port, "url": server.url}), flush=True)
        await stop.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m modelserver", description="A scripted model server.")
    parser.add_argument("--port", type=int, default=0, help="0: any free port, printed as JSON")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--script", help="a JSON script (see modelserver.rules); without: the worker")
    parser.add_argument("--log", help="truth log, one JSON line per call")
    parser.add_argument("--bodies", action="store_true", help="keep the request bodies in the log")
    asyncio.run(serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
