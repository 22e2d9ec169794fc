#!/bin/bash
# bind-source-ports.sh: a source address of one's own meets the kernel's choice of the
# source port.
#
# Versions: squid-openssl 5.7-2+deb12u6, HAProxy 2.6.12-1+deb12u4 (Debian 12), Go 1.26.8,
# Linux 6.18.
#
# Expected: a connection is told apart by both addresses and both ports, so there are as
# many connections from one address to each destination as there are ephemeral ports. To
# name the source address, as Squid's tcp_outgoing_address does, changes the address alone.
# Happens: it also divides these ports among all destinations. The program calls bind(2)
# with the address before it connects, and the kernel has to choose a port that is right
# for any destination, so each is given away once. With 40 ports there are 40 tunnels
# instead of 40 to each origin. Ended ones count for the minute of TIME_WAIT, so that
# afterwards not one tunnel to another origin can be opened. Without the line all work.
# The same holds for LocalAddr of Go's net.Dialer. HAProxy's "source" does not have the
# limit, for it sets IP_BIND_ADDRESS_NO_PORT, with which the port is chosen at connect(2).
# Matters: an egress proxy that gives customers addresses of their own has 28,232 ports for
# each (net.ipv4.ip_local_port_range), which is 470 short tunnels in a second to the whole
# Internet. Further ones end with a 503 at once, for one customer only. The message in
# cache.log, "Cannot bind socket: Address already in use", reads as if it were about a port
# that Squid listens on. Squid 6 knows the option; a program of one's own has to set it.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

# The program is origins and client. Its argument tells how to reach an origin.
cat >main.go <<'GO'
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// each is the number of connections to each origin. There are 40 ephemeral ports.
const each = 35

var origins = []string{"10.9.1.1:443", "10.9.1.2:443", "10.9.1.3:443", "10.9.1.4:443"}

func main() {
	way := map[string]func(string) (net.Conn, error){"squid": tunnel, "haproxy": port, "go": direct}[os.Args[1]]
	for _, origin := range origins {
		listener, err := net.Listen("tcp", origin)
		check(err)
		go greet(listener)
	}
	open, failure := connect(way, origins[:3])
	fmt.Printf("%d of %d to three origins", len(open), 3*each)
	for _, connection := range open {
		check(connection.Close())
	}
	time.Sleep(3 * time.Second) // for the proxy to end its side
	open, later := connect(way, origins[3:])
	fmt.Printf(", when they have ended %d of %d to a fourth one\n", len(open), each)
	if err := errors.Join(failure, later); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// greet serves an origin that greets, and lets the other side end the connection.
func greet(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		check(err)
		go func() {
			_, _ = io.WriteString(connection, "hello\n")
			_, _ = io.Copy(io.Discard, connection)
			_ = connection.Close()
		}()
	}
}

// connect returns the connections on which an origin has greeted, and the last failure.
func connect(way func(string) (net.Conn, error), origins []string) (open []net.Conn, failure error) {
	for _, origin := range origins {
		for range each {
			connection, err := way(origin)
			if err == nil {
				_, err = io.ReadFull(connection, make([]byte, len("hello\n")))
			}
			if err != nil {
				failure = err
				continue
			}
			open = append(open, connection)
		}
	}
	return open, failure
}

// tunnel asks Squid by CONNECT.
func tunnel(origin string) (net.Conn, error) {
	connection, err := dial("10.9.0.3:3128")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", origin)
	// One byte at a time, so that the greeting stays in the connection.
	response, err := http.ReadResponse(bufio.NewReader(byByte{connection}), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return connection, nil
}

type byByte struct{ io.Reader }

func (b byByte) Read(p []byte) (int, error) { return b.Reader.Read(p[:1]) }

// port connects to HAProxy, which has an address for each origin.
func port(origin string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(origin)
	check(err)
	return dial("10.9.2." + host[len("10.9.1."):] + ":443")
}

// direct connects without a proxy.
func direct(origin string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 9, 0, 2)}}
	return dialer.Dial("tcp", origin)
}

var clientPort = 20000

// dial connects to a proxy from a port outside of the ephemeral ones.
func dial(address string) (net.Conn, error) {
	clientPort++
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 9, 0, 1), Port: clientPort}}
	return dialer.Dial("tcp", address)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
# Other libraries than these come with curl, apt and each Debian.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3 \
		haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
	for package in *.deb; do dpkg-deb -x "$package" root; done
	go mod init finding.test
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }

cat >squid.conf <<SQUID
http_port 10.9.0.3:3128
http_access allow all
access_log none
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
cat squid.conf - >squid-address.conf <<<'tcp_outgoing_address 10.9.0.2'
cat >haproxy.cfg <<HAPROXY
defaults
	mode tcp
	timeout connect 60s
	timeout client 5m
	timeout server 5m
$(for i in 1 2 3 4; do
	printf 'listen origin%s\n\tbind 10.9.2.%s:443\n\tserver origin 10.9.1.%s:443 source 10.9.0.2\n' $i $i $i
done)
HAPROXY
# try.sh WAY [COMMAND...]: runs a proxy and the program, in a network of their own.
cat >try.sh <<'TRY'
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
ip link set lo up
ip address add 10.9.0.0/16 dev lo
echo 40000 40039 >/proc/sys/net/ipv4/ip_local_port_range
way=$1
shift
if [ $# != 0 ]; then
	LD_LIBRARY_PATH=$libraries "$@" &
	listeners=1
	[ "$way" = squid ] || listeners=4
	for _ in $(seq 600); do
		[ "$(ss --no-header --tcp --listening | wc --lines)" -ge $listeners ] && break
		sleep 0.1
	done
fi
timeout 120 ./run "$way"
TRY
libraries=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export libraries
try() {
	echo -n "$1: "
	unshare --map-root-user --net bash -e try.sh "${@:2}"
}
# Squid does not stay root, so it is another user from the beginning.
squid=(unshare --user --map-user=1000 root/usr/sbin/squid -n findingbind -N)
output=$(
	try "Squid" squid "${squid[@]}" -f squid.conf
	try "Squid, tcp_outgoing_address" squid "${squid[@]}" -f squid-address.conf
	try "HAProxy, source" haproxy root/usr/sbin/haproxy -db -q -f haproxy.cfg
	try "Go, LocalAddr" go
)
echo "$output"
grep --only-matching --max-count=1 'commBind.*' cache.log

if [ "$output" != 'Squid: 105 of 105 to three origins, when they have ended 35 of 35 to a fourth one
Squid, tcp_outgoing_address: 40 of 105 to three origins, when they have ended 0 of 35 to a fourth one
HAProxy, source: 105 of 105 to three origins, when they have ended 35 of 35 to a fourth one
Go, LocalAddr: 40 of 105 to three origins, when they have ended 0 of 35 to a fourth one' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
