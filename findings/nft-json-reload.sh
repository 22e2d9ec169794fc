#!/bin/bash
# nft-json-reload.sh: nft's own JSON meets verdict maps.
#
# Version: nftables 1.0.6-2+deb12u2 (Debian 12).
#
# Expected: "nft -j list ruleset" is a dump that "nft -j -f" loads, as is the text
# of "nft list ruleset".
# Happens: a ruleset with a map from ports to chains is dumped with the map's
# elements before the chains that they jump to. JSON is applied in its order, so
# the load fails: "No such file or directory", with no line or name. The text
# names each chain within its table, and loads. Without such a map JSON loads, too.
# Matters: one chain for each client, found by a verdict map of ports, is the usual
# form of a proxy's firewall. Tools that keep the ruleset as JSON (backups, audits,
# exporters) show it well and cannot bring it back. The day of the restore, the
# machine has no rules.
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

cat >chains.nft <<'NFT'
table inet proxy {
	chain client_a {
		counter accept
	}
	chain input {
		type filter hook input priority filter
		tcp dport 3129 jump client_a
	}
}
NFT
cat >map.nft <<'NFT'
table inet proxy {
	chain client_a {
		counter accept
	}
	map clients {
		type inet_service : verdict
		elements = { 3129 : jump client_a }
	}
	chain input {
		type filter hook input priority filter
		tcp dport vmap @clients
	}
}
NFT
cat >try.sh <<'SH'
nft=root/usr/sbin/nft
for rules in chains.nft map.nft; do
	for format in '' -j; do
		$nft flush ruleset
		$nft -f $rules
		$nft $format list ruleset >dump
		$nft flush ruleset
		$nft $format -f dump 2>error && echo "$rules $format: loaded" || echo "$rules $format: $(head -n 1 error)"
	done
done
SH
# A network namespace of its own, with or without root.
output=$(unshare --map-root-user --net sh try.sh)
echo "$output"

if [ "$output" != 'chains.nft : loaded
chains.nft -j: loaded
map.nft : loaded
map.nft -j: internal:0:0-0: Error: Could not process rule: No such file or directory' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
