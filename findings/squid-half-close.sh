#!/bin/bash
# squid-half-close.sh: a client that says "that was all" meets a tunnel through Squid.
#
# Versions: squid-openssl 5.7-2+deb12u6, netcat-openbsd 1.219-1 (Debian 12).
#
# Expected: the two directions of a TCP connection end apart. A client may close its own
# and then read the answer, and a tunnel hands the one end on as it hands on the data.
# Happens: when the client has closed its direction, Squid ends both. The server has
# received everything, and its answer is lost. nc exits with 0, and Squid logs
# TCP_TUNNEL/200 as for a tunnel that went well. "half_closed_clients on" speaks of just
# this and changes nothing here. The reason is in src/tunnel.cc (keepGoingAfterRead): a
# read of 0 bytes closes the connection that was read and, with no data left for it, the
# other one.
# Matters: inside TLS an end is a message, and nothing is lost. In tunnels on other ports,
# protocols are concerned in which the end of the input is the end of the question, as in
# pipes by nc and socat. They work without the proxy, and behind it their answers are
# empty without an error.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these come with curl and apt.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3 \
		netcat-openbsd=1.219-1 libbsd0=0.11.7-2 libmd0=1.0.4-2
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib:$work/root/lib/x86_64-linux-gnu
# Squid leaves root for another user.
chmod 777 "$work"

# The server answers when it has read everything.
cat >server.py <<'PY'
import socket
import sys

server = socket.create_server(("127.0.128.4", 8443))
while True:
    connection, _ = server.accept()
    size = 0
    while data := connection.recv(65536):
        size += len(data)
    print(f"server: {size} bytes", file=sys.stderr, flush=True)
    try:
        connection.sendall(f"{size} bytes, thank you\n".encode())
    except OSError:
        pass
    connection.close()
PY
python3 server.py 2>server.log &
until (: <>/dev/tcp/127.0.128.4/8443) 2>/dev/null; do sleep 0.1; done

ask() {
	local answer status=0
	answer=$(head -c 100000 /dev/zero | timeout 60 root/bin/nc.openbsd -N "$@" 127.0.128.4 8443) || status=$?
	echo "answer: \"$answer\", exit $status"
}
# try LINE: the same question through Squid.
try() {
	cat >squid.conf <<-SQUID
		http_port 127.0.128.3:3128
		$1
		http_access allow all
		logformat what %Ss/%03>Hs %rm %ru
		access_log stdio:$work/access.log what
		cache deny all
		cache_log $work/cache.log
		pid_filename $work/squid.pid
		coredump_dir none
		netdb_filename none
		pinger_enable off
		mime_table $work/root/usr/share/squid/mime.conf
		icon_directory $work/root/usr/share/squid/icons
		error_directory $work/root/usr/share/squid-langpack/templates
		visible_hostname proxy.example.test
		shutdown_lifetime 0 seconds
	SQUID
	rm -f access.log
	root/usr/sbin/squid -n findinghalfclose -f "$work/squid.conf" -N >>log 2>&1 &
	local squid=$!
	for _ in $(seq 600); do
		(: <>/dev/tcp/127.0.128.3/3128) 2>/dev/null && break
		sleep 0.1
	done
	echo "Squid, $1: $(ask -X connect -x 127.0.128.3:3128)"
	kill "$squid"
	wait "$squid" || true
	grep CONNECT access.log
}
output=$(
	echo "direct: $(ask)"
	try 'half_closed_clients off'
	try 'half_closed_clients on'
	sleep 1
	grep 100000 server.log
)
echo "$output"

if [ "$output" != 'direct: answer: "100000 bytes, thank you", exit 0
Squid, half_closed_clients off: answer: "", exit 0
TCP_TUNNEL/200 CONNECT 127.0.128.4:8443
Squid, half_closed_clients on: answer: "", exit 0
TCP_TUNNEL/200 CONNECT 127.0.128.4:8443
server: 100000 bytes
server: 100000 bytes
server: 100000 bytes' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
