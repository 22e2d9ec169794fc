#!/bin/bash
# resolv-no-aaaa.sh: the option no-aaaa of resolv.conf meets programs that bring
# their own resolver.
#
# Versions: glibc 2.36, curl 7.88.1 and squid-openssl 5.7-2+deb12u6 (Debian 12),
# Go 1.26.8.
#
# Expected: no-aaaa (glibc 2.36 and later) is for networks without IPv6: names are
# asked for by A alone. It stands in the file that all programs of a machine or a
# pod read, so it is true for all of them.
# Happens: glibc alone knows it. Squid and a static Go program read the file, take
# name servers and other options from it, and go on to ask for AAAA, without a
# word about the option that they leave out. (By net/conf.go, a Go program that is
# linked with glibc hands all lookups to glibc because of the unknown option.)
# Matters: the option is set (dnsConfig.options of a pod, a proxy's resolv.conf)
# to halve DNS traffic, and against name servers that answer AAAA late or with an
# error. The tools that show its effect, getent and curl, are those that have
# it. Proxy and operators, most of which are Squid or static Go, do not.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	fmt.Println(net.LookupHost(os.Args[1]))
}
GO
# Other libraries than these come with curl and apt.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3
	for package in *.deb; do dpkg-deb -x "$package" root; done
	nice -n 5 go build -o lookup main.go
} >log 2>&1 || { cat log >&2 && exit 1; }
dpkg-query --show libc6 curl >>log

# names.py is a name server that has both addresses of every name, and writes
# down what it is asked for.
cat >names.py <<'PY'
import socket
import struct

A, AAAA = 1, 28
addresses = {A: socket.inet_aton("127.0.0.1"), AAAA: socket.inet_pton(socket.AF_INET6, "::1")}
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
asked = open("asked", "a", buffering=1)
while True:
    query, client = server.recvfrom(4096)
    labels, end = [], 12
    while query[end]:
        labels.append(query[end + 1 : end + 1 + query[end]].decode())
        end += 1 + query[end]
    kind = struct.unpack(">H", query[end + 1 : end + 3])[0]
    asked.write(f"{labels[0]} {({A: 'A', AAAA: 'AAAA'}).get(kind, kind)}\n")
    address = addresses[kind]
    server.sendto(
        query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12 : end + 5]
        + b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(address)) + address,
        client,
    )
PY
cat >squid.conf <<SQUID
http_port 127.0.0.1:3128
http_access allow all
access_log none
cache deny all
cache_log $work/cache.log
pid_filename none
coredump_dir none
netdb_filename none
pinger_enable off
mime_table $work/root/usr/share/squid/mime.conf
icon_directory $work/root/usr/share/squid/icons
error_directory $work/root/usr/share/squid-langpack/templates
visible_hostname proxy.example.test
shutdown_lifetime 0 seconds
SQUID
chmod 777 "$work"

# Runs in namespaces of its own: there resolv.conf can be another one. Squid, which
# leaves root, has no root there that it could leave.
cat >ask.sh <<'SH'
ip link set lo up
printf 'nameserver 127.0.0.1\noptions no-aaaa\n' >resolv.conf
echo '127.0.0.1 localhost' >hosts
mount --bind resolv.conf /etc/resolv.conf
mount --bind hosts /etc/hosts
python3 names.py &
LD_LIBRARY_PATH=$PWD/root/usr/lib/x86_64-linux-gnu:$PWD/root/usr/lib unshare --user --map-user=13 --map-group=13 \
	root/usr/sbin/squid -n findingnames -N -f "$PWD/squid.conf" &
for _ in $(seq 300); do
	[ -e asked ] && (: <>/dev/tcp/127.0.0.1/3128) 2>/dev/null && break
	sleep 0.2
done
getent ahosts getent.example.test
curl --silent --output page http://curl.example.test:9/
curl --silent --output page --proxy http://127.0.0.1:3128 http://squid.example.test:9/
./lookup go.example.test
sleep 1
SH
timeout --signal=KILL 300 unshare --map-root-user --net --mount --pid --fork --kill-child bash ask.sh >>log 2>&1 || { cat log >&2 && exit 1; }
output=$(
	for program in getent curl squid go; do
		echo "$program: $(sort -u asked | sed -n "s/^$program //p" | paste -sd' ')"
	done
)
echo "$output"

if [ "$output" != 'getent: A
curl: A
squid: A AAAA
go: A AAAA' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
