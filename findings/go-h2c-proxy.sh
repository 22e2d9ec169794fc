#!/bin/bash
# go-h2c-proxy.sh: HTTP/2 without TLS in Go's net/http meets a proxy.
#
# Versions: Go 1.26.8, golang.org/x/net v0.62.0, squid-openssl 5.7-2+deb12u6 (Debian 12).
#
# Expected: http.Transport with UnencryptedHTTP2 (new in Go 1.24) replaces http2.Transport
# with AllowHTTP, whose documentation names it, and one that speaks HTTP/2 alone opens a
# tunnel where there is a proxy, as gRPC does.
# Happens: the two differ in the proxy. The former one ignores HTTP_PROXY and connects to
# the server. The new one connects to the proxy and speaks HTTP/2 to the proxy itself,
# without a tunnel and without the absolute form that proxies know (net/http/transport.go,
# dialConn: what follows for "http" does not ask whether the connection is one to a proxy).
# Squid answers with a 400 of HTTP/1.1 to a request that it logs without a host. The error
# is "client conn could not be established" or one about frames that are too large, and
# does not name the proxy. A transport that may speak HTTP/1.1 too does so, through the
# proxy.
# Matters: clients of plain HTTP/2 that replace what is deprecated, as its documentation
# says, stop to work where HTTP_PROXY is set, for each host that NO_PROXY does not list.
# Which host that was is not in the proxy's log either.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

# The program is server and clients.
cat >main.go <<'GO'
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

func main() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var err error
	server.Listener, err = net.Listen("tcp", "127.0.128.4:8080")
	check(err)
	server.Config.Protocols = protocols(true)
	server.Start()

	proxy, err := url.Parse(os.Args[1])
	check(err)
	try := func(title string, transport http.RoundTripper) {
		client := http.Client{Transport: transport, Timeout: time.Minute}
		response, err := client.Get(server.URL + "/" + title)
		if err != nil {
			err = err.(*url.Error).Err
			fmt.Fprintln(os.Stderr, err) // which of several it is depends on time
			fmt.Printf("%s: error, names the proxy: %t\n", title, strings.Contains(err.Error(), "proxy"))
			return
		}
		fmt.Printf("%s: %s by %s\n", title, response.Status, response.Proto)
	}
	try("former", &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	try("new", &http.Transport{Protocols: protocols(false), Proxy: http.ProxyURL(proxy)})
	try("new-direct", &http.Transport{Protocols: protocols(false)})
	try("both", &http.Transport{Protocols: protocols(true), Proxy: http.ProxyURL(proxy)})
}

func protocols(http1 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	p.SetHTTP1(http1)
	return p
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
# Other libraries than these come with curl and apt.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3
	for package in *.deb; do dpkg-deb -x "$package" root; done
	go mod init finding.test
	go get golang.org/x/net/http2@v0.62.0
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib
# Squid leaves root for another user.
chmod 777 "$work"

cat >squid.conf <<SQUID
http_port 127.0.128.3:3128
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
root/usr/sbin/squid -n findingh2c -f "$work/squid.conf" -N >>log 2>&1 &
squid=$!
for _ in $(seq 600); do
	(: <>/dev/tcp/127.0.128.3/3128) 2>/dev/null && break
	sleep 0.1
done
timeout 120 ./run http://127.0.128.3:3128 >seen
kill "$squid"
wait "$squid" || true
# The first line is that of the wait for Squid.
grep -v transaction-end-before-headers access.log >>seen
cat seen

diff - seen <<'SEEN' || { echo "the behaviour has changed" >&2 && exit 1; }
former: 200 OK by HTTP/2.0
new: error, names the proxy: false
new-direct: 200 OK by HTTP/2.0
both: 200 OK by HTTP/1.1
NONE_NONE/400 PRI *
TCP_MISS/200 GET http://127.0.128.4:8080/both
SEEN
echo "HTTP/2 without TLS is spoken to the proxy by net/http, and past it by its predecessor"
