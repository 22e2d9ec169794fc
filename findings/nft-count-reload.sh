#!/bin/bash
# nft-count-reload.sh: a limit of connections (ct count) meets the ways to reload
# an nftables ruleset.
#
# Versions: nftables 1.0.6-2+deb12u2 (Debian 12), run on Linux 6.18.
#
# Expected: a reload of the same rules changes nothing. "ct count over N" counts
# the connections that conntrack has, and a reload leaves conntrack alone.
# Happens: the count belongs to the element of the dynamic set, not to conntrack.
# "flush ruleset", the first line of Debian's /etc/nftables.conf, and "delete
# table" remove the set: each reload admits N connections more, beside those that
# are open. "flush table" removes the rules alone. The set that is then declared
# again keeps its elements and their counts. After both, "nft list ruleset"
# prints the same rules.
# Matters: a proxy's firewall limits the connections of each client, and is
# reloaded whenever its configuration changes. Long tunnels outlive reloads, so
# the true limit is N times the number of reloads, while rules and monitoring
# show N.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

{
	apt-get download nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 \
		libxtables12=1.8.9-2 libjansson4=2.14-2 libmnl0=1.0.4-3 libedit2=3.1-20221030-2
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu

cat >rules.nft <<'NFT'
table inet proxy {
	set open {
		type ipv4_addr
		size 1024
		flags dynamic
	}
	chain input {
		type filter hook input priority filter
		tcp dport 3128 ct state new add @open { ip saddr ct count over 2 } reject with tcp reset
	}
}
NFT
cat >try.py <<'PY'
import socket
import subprocess

rules = open("rules.nft").read()
server = socket.create_server(("127.0.0.1", 3128))

def nft(commands):
    subprocess.run(["root/usr/sbin/nft", "-f", "-"], input=commands, text=True, check=True)

def connect(times):
    """Tries to connect, and returns the connections that were admitted."""
    connections = []
    for _ in range(times):
        try:
            connections.append(socket.create_connection(("127.0.0.1", 3128), timeout=20))
        except ConnectionRefusedError:
            pass
    return connections

for first in ["flush ruleset", "delete table inet proxy", "flush table inet proxy"]:
    nft("flush ruleset\n" + rules)
    before = connect(4)
    nft(first + "\n" + rules)
    after = connect(4)
    print(f"{first}: {len(before)} of 4 before the reload, {len(after)} of 4 more after it")
    for connection in before + after:
        connection.close()
        server.accept()[0].close()
PY
# A network namespace of its own, with or without root.
output=$(unshare --map-root-user --net sh -c 'ip link set lo up && exec python3 try.py')
echo "$output"

if [ "$output" != 'flush ruleset: 2 of 4 before the reload, 2 of 4 more after it
delete table inet proxy: 2 of 4 before the reload, 2 of 4 more after it
flush table inet proxy: 2 of 4 before the reload, 0 of 4 more after it' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
