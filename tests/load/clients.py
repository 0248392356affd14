"""Many CouchDB clients at once against one database, for a while, each with a connection of its own.

Usage: clients.py URL DATABASE CLIENTS SECONDS SEED [PID...]

Each client writes documents of its own, edits one that all share, reads, lists, searches, watches the changes feed, sends and
fetches attachments, and now and then hangs up in the middle of something. An answer that such a client must be ready for is
counted by its status; anything else is a failure. At the end every write that was acknowledged must be there. The memory of the
processes PID is sampled. Prints one JSON object.
"""

import asyncio
import json
import random
import resource
import sys
import time
import urllib.parse

URL, DATABASE, CLIENTS, SECONDS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
PIDS = [int(pid) for pid in sys.argv[6:]]
HOST, PORT = urllib.parse.urlsplit(URL).hostname, urllib.parse.urlsplit(URL).port
EXPECTED = {
    "put": {201}, "edit": {201, 409, 404}, "get": {200, 404}, "all_docs": {200}, "find": {200}, "bulk": {201},
    "changes": {200}, "longpoll": {200}, "attach": {201}, "fetch": {200, 404}, "delete": {200},
}
BUSY_RETRIES = 200

statuses, failures, acknowledged = {}, [], {}
busy = requests = hangups = 0


class Client:
    def __init__(self, number):
        self.number = number
        self.random = random.Random(SEED * 100003 + number)
        self.reader = self.writer = None
        self.revs = {}
        self.made = 0

    async def connect(self):
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(HOST, PORT, limit=1 << 22), 60)

    def hang_up(self):
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if ":" in line)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                body += (await self.reader.readexactly(size + 2))[:-2]
                if size == 0:
                    break
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.hang_up()
        return status, headers, body

    async def ask(self, kind, method, path, body=None, content_type="application/json"):
        """Ask until the server is not busy; (status, body)."""
        global busy, requests
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = "%s /%s%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (
            method, DATABASE, path, HOST, content_type, len(data))
        for _ in range(BUSY_RETRIES):
            if self.writer is None:
                await self.connect()
            self.writer.write(head.encode() + data)
            status, headers, answer = await asyncio.wait_for(self.answer(), 120)
            requests += 1
            if status != 503:
                break
            busy += 1
            if "retry-after" not in headers:
                failures.append("503 without Retry-After to %s" % kind)
            await asyncio.sleep(self.random.uniform(0.02, 0.2))
        statuses.setdefault(kind, {}).setdefault(status, 0)
        statuses[kind][status] += 1
        if status not in EXPECTED[kind]:
            failures.append("%s %s: status %d %s" % (method, path, status, answer[:200].decode("utf-8", "replace")))
        return status, answer

    def note(self, name, answer, body):
        rev = json.loads(answer)["rev"]
        self.revs[name] = rev
        acknowledged[name] = (rev, body)

    async def step(self):
        global hangups
        pick = self.random.random()
        own = self.random.choice(list(self.revs)) if self.revs else None
        if pick < 0.25 or own is None:
            name = "c%d-%d" % (self.number, self.made)
            self.made += 1
            body = {"n": self.random.randrange(10**6), "kind": "load", "text": "ҷӣғ" * self.random.randrange(1, 60)}
            status, answer = await self.ask("put", "PUT", "/" + name, body)
            if status == 201:
                self.note(name, answer, body)
        elif pick < 0.40:
            body = {"n": self.random.randrange(10**6), "kind": "load", "_rev": self.revs[own]}
            status, answer = await self.ask("edit", "PUT", "/" + own, body)
            if status == 201:
                body.pop("_rev")
                self.note(own, answer, body)
        elif pick < 0.45:
            status, answer = await self.ask("get", "GET", "/shared")
            body = json.loads(answer) if status == 200 else {}
            await self.ask("edit", "PUT", "/shared", {**body, "by": self.number})
        elif pick < 0.70:
            status, answer = await self.ask("get", "GET", "/" + own)
            if status != 200 or json.loads(answer)["_rev"] != self.revs[own]:
                failures.append("an acknowledged write cannot be read: %s" % own)
        elif pick < 0.76:
            await self.ask("all_docs", "GET", "/_all_docs?limit=50&include_docs=true&startkey=%22c" + str(self.number) + "%22")
        elif pick < 0.80:
            await self.ask("find", "POST", "/_find", {"selector": {"n": {"$gt": self.random.randrange(10**6)}}, "limit": 5})
        elif pick < 0.86:
            docs = [{"_id": "c%d-%d" % (self.number, self.made + i), "kind": "bulk", "i": i} for i in range(20)]
            self.made += 20
            status, answer = await self.ask("bulk", "POST", "/_bulk_docs", {"docs": docs})
            for row, doc in zip(json.loads(answer) if status == 201 else [], docs):
                if row.get("ok"):
                    self.revs[row["id"]] = row["rev"]
                    acknowledged[row["id"]] = (row["rev"], {k: v for k, v in doc.items() if k != "_id"})
        elif pick < 0.90:
            await self.ask("changes", "GET", "/_changes?descending=true&limit=20")
        elif pick < 0.93:
            await self.ask("longpoll", "GET", "/_changes?feed=longpoll&since=now&timeout=500")
        elif pick < 0.96:
            name = "c%d-file-%d" % (self.number, self.made)
            self.made += 1
            await self.ask("attach", "PUT", "/%s/data" % name, self.random.randbytes(20000), "application/octet-stream")
            await self.ask("fetch", "GET", "/%s/data" % name)
        elif pick < 0.98:
            rev = self.revs.pop(own)
            acknowledged.pop(own)
            await self.ask("delete", "DELETE", "/%s?rev=%s" % (own, rev))
        else:
            # Ask for much and hang up, or stop in the middle of a body.
            if self.writer is None:
                await self.connect()
            text = self.random.choice([
                "GET /%s/_all_docs?include_docs=true HTTP/1.1\r\nHost: %s\r\n\r\n" % (DATABASE, HOST),
                "GET /%s/_changes?feed=continuous HTTP/1.1\r\nHost: %s\r\n\r\n" % (DATABASE, HOST),
                "POST /%s/_bulk_docs HTTP/1.1\r\nHost: %s\r\nContent-Length: 5000\r\n\r\n{\"docs\":[" % (DATABASE, HOST),
            ])
            self.writer.write(text.encode())
            await asyncio.sleep(self.random.uniform(0, 0.05))
            self.hang_up()
            hangups += 1

    async def run(self, until):
        try:
            while time.monotonic() < until:
                await self.step()
                await asyncio.sleep(self.random.uniform(0, 0.02))
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            failures.append("client %d: %s: %s" % (self.number, type(error).__name__, error))
        self.hang_up()


def memory():
    total = 0
    for pid in PIDS:
        with open("/proc/%d/status" % pid) as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return total / 1024


async def main():
    until = time.monotonic() + SECONDS
    samples = []
    clients = [asyncio.create_task(Client(number).run(until)) for number in range(CLIENTS)]
    while time.monotonic() < until:
        await asyncio.sleep(min(1, SECONDS / 20))
        if PIDS:
            samples.append(round(memory(), 1))
    await asyncio.gather(*clients)

    lost = 0
    checker = Client(CLIENTS)
    names = list(acknowledged)
    for at in range(0, len(names), 500):
        keys = names[at:at + 500]
        _, answer = await checker.ask("all_docs", "POST", "/_all_docs?include_docs=true", {"keys": keys})
        for name, row in zip(keys, json.loads(answer)["rows"]):
            rev, body = acknowledged[name]
            doc = {k: v for k, v in (row.get("doc") or {}).items() if k not in ("_id", "_rev")}
            if row.get("value", {}).get("rev") != rev or doc != body:
                lost += 1
    checker.hang_up()
    half = len(samples) // 2
    print(json.dumps({
        "clients": CLIENTS, "seconds": SECONDS, "seed": SEED, "requests": requests, "busy": busy, "hangups": hangups,
        "statuses": statuses, "acknowledged": len(acknowledged), "lost": lost, "failures": len(failures),
        "first_failures": failures[:10], "memory_first_half_max": max(samples[:half], default=0),
        "memory_second_half_max": max(samples[half:], default=0),
    }))


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CLIENTS + 1000), hard))
asyncio.run(main())
