#!/bin/bash
# squid-websocket.sh: the two WebSocket libraries of Go meet Squid.
#
# Versions: github.com/gorilla/websocket v1.5.3, github.com/coder/websocket v1.8.15,
# squid-openssl 5.7-2+deb12u6 (Debian 12).
#
# Expected: for a ws:// address both libraries ask an HTTP proxy in the same way,
# and one setting of the proxy admits both or none.
# Happens: gorilla asks for a tunnel (CONNECT) to the port of the address, which
# Debian's squid.conf denies for all ports but 443: "Forbidden". coder sends a GET
# with "Upgrade: websocket" by the usual transport. Squid passes the GET on, and
# drops the upgrade unless http_upgrade_request_protocols names it, so the origin
# answers 426. To admit CONNECT to the port helps gorilla alone, to admit the
# upgrade helps coder alone.
# Matters: a pod's ws:// works or fails by a library that its author chose, with
# messages that point to the origin in one case. A proxy for both needs both
# settings, and the first opens the port for tunnels of any content.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

cat >main.go <<'GO'
// The program is origin and client.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

func main() {
	proxy, err := url.Parse(os.Args[1])
	check(err)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, err := coder.Accept(w, r, nil)
		if err == nil {
			_ = connection.Close(coder.StatusNormalClosure, "")
		}
	}))
	origin.Listener, err = net.Listen("tcp", "127.0.128.4:8080")
	check(err)
	origin.Start()
	address := strings.Replace(origin.URL, "http", "ws", 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	dialer := gorilla.Dialer{Proxy: http.ProxyURL(proxy)}
	_, _, err = dialer.DialContext(ctx, address, nil)
	fmt.Printf("gorilla: %s; ", result(err))

	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	_, _, err = coder.Dial(ctx, address, &coder.DialOptions{HTTPClient: client})
	fmt.Printf("coder: %s\n", result(err))
}

func result(err error) string {
	if err != nil {
		return err.Error()
	}
	return "connected"
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
	go get github.com/gorilla/websocket@v1.5.3 github.com/coder/websocket@v1.8.15
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib
# Squid leaves root for another user.
chmod 777 "$work"

# try [LINE]: both libraries, with a line more in squid.conf. The first three lines
# of access are those of Debian's squid.conf.
try() {
	cat >squid.conf <<-SQUID
		http_port 127.0.128.3:3128
		acl SSL_ports port 443
		${1:-}
		http_access deny CONNECT !SSL_ports
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
	root/usr/sbin/squid -n findingwebsocket -f "$work/squid.conf" -N >>log 2>&1 &
	local squid=$!
	for _ in $(seq 600); do
		(: <>/dev/tcp/127.0.128.3/3128) 2>/dev/null && break
		sleep 0.1
	done
	echo "${1:-as it is}: $(./run http://127.0.128.3:3128)"
	kill "$squid"
	wait "$squid" || true
}
output=$(
	try
	try 'acl SSL_ports port 8080'
	try 'http_upgrade_request_protocols websocket allow all'
)
echo "$output"

refused='failed to WebSocket dial: expected handshake response status code 101 but got 426'
if [ "$output" != "as it is: gorilla: Forbidden; coder: $refused
acl SSL_ports port 8080: gorilla: connected; coder: $refused
http_upgrade_request_protocols websocket allow all: gorilla: Forbidden; coder: connected" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
