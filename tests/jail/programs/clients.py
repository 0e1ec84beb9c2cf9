"""Clients of Python's. Each says what it got from the host that is named."""
import asyncio
import sys
import urllib.request

import aiohttp
import requests

host = sys.argv[1]
failed = []


def attempt(name, get):
    try:
        said = get()
    except Exception as error:
        failed.append(name)
        said = type(error).__name__
    print(name, said.strip(), flush=True)


async def streams():
    reader, writer = await asyncio.open_connection(host, 80)
    writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    if " 200 " not in answer:
        raise OSError(answer)
    return answer.splitlines()[-1]


async def by_aiohttp():
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(f"http://{host}/") as answer:
            return await answer.text()


def by_requests():
    answer = requests.get(f"https://{host}/", timeout=10, verify="/etc/little-internet.pem")
    answer.raise_for_status()
    return answer.text


attempt("urllib", lambda: urllib.request.urlopen(f"http://{host}/", timeout=10).read().decode())
attempt("urllib with TLS", lambda: urllib.request.urlopen(f"https://{host}/", timeout=10).read().decode())
attempt("asyncio", lambda: asyncio.run(asyncio.wait_for(streams(), 10)))
attempt("requests", by_requests)
attempt("aiohttp", lambda: asyncio.run(asyncio.wait_for(by_aiohttp(), 10)))
sys.exit(1 if failed else 0)
