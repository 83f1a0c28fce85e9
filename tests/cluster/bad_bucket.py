"""A proxy of HTTP in front of an S3 server: it fails, waits, loses answers and cuts connections as it is told, and counts
what goes through.

usage: bad_bucket.py PORT SERVER-PORT SEED
Each line of its input is a JSON object of faults that hold from now on, each a chance from 0 to 1 for a request:
  refuse  503 SlowDown, the server never sees the request
  fail    500 InternalError, the same
  lose    the server does what is asked, and the client gets a 500
  cut     half of the server's answer, then the end of the connection
and delay: seconds before each request. It prints one line of JSON with its counters for each line that it reads, and ends at
the end of its input."""
import asyncio
import json
import random
import sys

PIECE = 1 << 16
HEAD_MAX = 1 << 16
ERRORS = {"refuse": ("503 Slow Down", "SlowDown"), "fail": ("500 Internal Server Error", "InternalError"),
          "lose": ("500 Internal Server Error", "InternalError")}


class Proxy:
    def __init__(self, server_port, seed):
        self.server_port = server_port
        self.random = random.Random(seed)
        self.faults = {}
        self.counters = {"requests": 0, "bytes_in": 0, "bytes_out": 0, **dict.fromkeys((*ERRORS, "cut"), 0)}

    def fault(self):
        """What happens to the next request: a name, or None."""
        chance = self.random.random()
        for name in ("refuse", "fail", "lose", "cut"):
            chance -= self.faults.get(name, 0)
            if chance < 0:
                self.counters[name] += 1
                return name
        return None

    async def client(self, reader, writer):
        """One connection of a client: its requests go over one connection to the server, while both are kept."""
        server = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                server = server or await asyncio.open_connection("127.0.0.1", self.server_port, limit=HEAD_MAX)
                if not await self.request(head, reader, writer, server):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, *(server[1:] if server else ())):
                end.close()

    async def request(self, head, reader, writer, server):
        """False: the connection is not to be used again."""
        self.counters["requests"] += 1
        fault = self.fault()
        if self.faults.get("delay"):
            await asyncio.sleep(self.faults["delay"])
        if fault in ("refuse", "fail"):
            await self.error(writer, fault)
            return False
        server[1].write(head)
        if b"expect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = asyncio.create_task(self.copy(reader, server[1], length(head)))
        try:
            answer = await server[0].readuntil(b"\r\n\r\n")
            while answer.startswith(b"HTTP/1.1 100"):
                answer = await server[0].readuntil(b"\r\n\r\n")
            self.counters["bytes_in"] += await body
        finally:
            body.cancel()
        size = 0 if head.startswith(b"HEAD") else length(answer)
        if fault == "lose":
            await self.error(writer, fault)
            return False
        writer.write(answer)
        self.counters["bytes_out"] += await self.copy(server[0], writer, size // 2 if fault == "cut" else size)
        return fault is None and b"connection: close" not in answer.lower()

    async def error(self, writer, fault):
        status, code = ERRORS[fault]
        body = f"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Try again.</Message></Error>"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
                     f"Connection: close\r\n\r\n{body}".encode())
        await writer.drain()

    @staticmethod
    async def copy(reader, writer, size):
        left = size
        while left:
            piece = await reader.read(min(PIECE, left))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            writer.write(piece)
            await writer.drain()
            left -= len(piece)
        await writer.drain()
        return size


def length(head):
    """Of the body behind that head; chunked ones are not used by S3."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    assert b"transfer-encoding" not in head.lower(), head
    return 0


async def main(port, server_port, seed):
    proxy = Proxy(server_port, seed)
    await asyncio.start_server(proxy.client, "127.0.0.1", port, limit=HEAD_MAX)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        proxy.faults = json.loads(line)
        print(json.dumps(proxy.counters), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
