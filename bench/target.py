"""A fast local target and nothing else: ``python -m bench.target PORT [RPS] [CONCURRENT]``."""

import asyncio
import sys

import uvloop

from bench.raw_http import RawServer, answer


async def serve(port: int, rps: str, concurrent: str) -> None:
    """Answer every request at once, naming the pace that it bears."""
    headers = f"X-EZTHROTTLE-RPS: {rps}\r\nX-EZTHROTTLE-MAX-CONCURRENT: {concurrent}\r\n"
    response = answer("200 OK", headers, b'{"ok":true}')
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: RawServer(lambda _head, _body: response), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *(sys.argv[2:4] or ("100000", "1000"))))
