"""A TCP proxy on loopback that counts: counting_proxy.py PORT... ; prints its own ports, one for each, in order.

For each connection that has ended, a line goes to standard output: its number in the list, bytes up, bytes down, and how often
the direction turned from down to up, which is how often the client waited for an answer before it went on.
"""

import asyncio
import sys


async def pump(reader, writer, count, direction, state):
    try:
        while data := await reader.read(65536):
            count[direction] += len(data)
            if direction == 0 and state["last"] == 1:
                count[2] += 1
            state["last"] = direction
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    try:
        writer.write_eof()
    except OSError:
        pass


async def main():
    servers = []
    for number, target in enumerate(sys.argv[1:]):
        async def serve(reader, writer, number=number, target=int(target)):
            count, state = [0, 0, 1], {"last": 0}
            try:
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                writer.close()
                return
            await asyncio.gather(pump(reader, there_writer, count, 0, state), pump(there_reader, writer, count, 1, state))
            there_writer.close()
            writer.close()
            print(number, *count, flush=True)
        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
    print("ports", *[server.sockets[0].getsockname()[1] for server in servers], flush=True)
    await asyncio.gather(*[server.serve_forever() for server in servers])


asyncio.run(main())
