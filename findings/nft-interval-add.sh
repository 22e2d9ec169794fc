#!/bin/bash
# nft-interval-add.sh: a set that may contain ranges meets the command that adds one
# address.
#
# Version: nftables 1.0.6-2+deb12u2 (Debian 12), Linux 6.18.
#
# Expected: "nft add element" sends one element to the kernel. It costs the same for
# a small and for a large set, with "flags interval" and without.
# Happens: for a set with "flags interval", nft first fetches all elements of the set, to
# look for overlaps with the new one. To add or to delete one address in a set of 16,000
# costs dozens of times the CPU time of the same command for a set without the flag,
# although not one of the elements is a range. The cost grows with the set: to fill it
# one by one takes quadratic time. auto-merge makes no difference.
# Matters: one set for addresses and CIDR ranges looks simpler than two. A program that
# adds addresses as they come (those that names resolve to, those that are banned), by
# running nft as most do, then needs a core for a few additions in a second, and
# next to nothing with a set of its own for addresses. Many elements in one command pay
# once.
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

cat >try.py <<'PY'
import ipaddress
import resource
import statistics
import subprocess
import sys

def nft(commands):
    """Runs nft and returns its CPU time in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["root/usr/sbin/nft", "-f", "-"], input=commands, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

def addresses(first, count):
    """Every second address, so that no two are neighbours."""
    return [str(ipaddress.ip_address(first) + 2 * i) for i in range(count)]

def one(flags, size):
    """The medians for one address that is added to a set of that size, and for one that is deleted."""
    nft("flush ruleset\nadd table inet proxy\nadd set inet proxy allowed { type ipv4_addr; " + flags + " }\n")
    elements = addresses("10.0.0.0", size)
    for i in range(0, size, 1000):  # Parts that fit into the buffer of the socket.
        nft("add element inet proxy allowed {\n" + ",\n".join(elements[i:i + 1000]) + "\n}\n")
    return [
        statistics.median(nft(f"{verb} element inet proxy allowed {{ {address} }}\n") for address in addresses("192.0.2.0", 9))
        for verb in ["add", "delete"]
    ]

added = {}
for flags in ["", "flags interval;", "flags interval; auto-merge;"]:
    for size in [1000, 16000]:
        added[flags, size], deleted = one(flags, size)
        print(f"{flags or 'no flags;'} {size} elements: add {added[flags, size]:.0f} ms, delete {deleted:.0f} ms of CPU time")
for flags in ["flags interval;", "flags interval; auto-merge;"]:
    if added[flags, 16000] < 8 * added["", 16000] or added[flags, 16000] < 3 * added[flags, 1000]:
        sys.exit("the behaviour has changed")
PY
# A network namespace of its own, with or without root.
unshare --map-root-user --net python3 try.py
