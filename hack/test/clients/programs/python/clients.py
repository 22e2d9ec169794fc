"""clients.py CLIENT URL: one request by a Python client in its default configuration."""

import asyncio
import sys
from urllib.parse import urlsplit


def urllib(url):
    from urllib.request import urlopen

    urlopen(url, timeout=20).read()


def requests(url):
    import requests

    requests.get(url, timeout=20)


def httpx(url):
    import httpx

    httpx.get(url, timeout=20)


def aiohttp(url, **options):
    import aiohttp

    async def get():
        async with aiohttp.ClientSession(**options) as session:
            async with session.get(url) as response:
                await response.read()

    asyncio.run(get())


def aiohttp_trust_env(url):
    aiohttp(url, trust_env=True)


def urllib3(url):
    import urllib3

    urllib3.PoolManager().request("GET", url, retries=False, timeout=20)


def httplib2(url):
    import httplib2

    httplib2.Http(timeout=20).request(url)


def pycurl(url):
    import io

    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEDATA, io.BytesIO())
    curl.perform()


def tornado(url):
    from tornado.httpclient import AsyncHTTPClient

    async def get():
        await AsyncHTTPClient().fetch(url)

    asyncio.run(get())


def websockets(url):
    import websockets

    async def connect():
        async with websockets.connect(url):
            pass

    asyncio.run(connect())


def websocket_client(url):
    import websocket

    websocket.create_connection(url, timeout=20).close()


def boto3(url):
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    boto3.client(
        "s3", endpoint_url=url, region_name="fr-par", aws_access_key_id="a", aws_secret_access_key="b", config=config
    ).list_buckets()


def grpcio(url):
    import grpc

    parts = urlsplit(url)
    if parts.scheme == "https":
        with open("/etc/ssl/certs/ca-certificates.crt", "rb") as authorities:
            credentials = grpc.ssl_channel_credentials(authorities.read())
        channel = grpc.secure_channel(parts.hostname + ":443", credentials)
    else:
        channel = grpc.insecure_channel(parts.netloc + ":80")
    with channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)


def libsoup(url):
    import gi

    gi.require_version("Soup", "3.0")
    from gi.repository import Soup

    Soup.Session().send_and_read(Soup.Message.new("GET", url))


globals()[sys.argv[1]](sys.argv[2])
