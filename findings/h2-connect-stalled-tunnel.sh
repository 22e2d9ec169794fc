#!/bin/bash
# h2-connect-stalled-tunnel.sh: tunnels as streams of one HTTP/2 connection meet an origin
# that stops reading.
#
# Versions: Go 1.26.8, HAProxy 2.6.12-1+deb12u4 (Debian 12).
#
# Expected: HTTP/2 has flow control for each stream, so that a tunnel whose origin does not
# read stops alone, as it does with a TCP connection for each tunnel.
# Happens: as soon as that tunnel is full, the client can send on no tunnel of the connection,
# for as long as the origin does not read. They stay open, and new connections work. In Go's
# http.Server the window of the connection is as large as that of one stream (1 MiB each),
# and bytes that a handler has not yet read count for both: one full stream leaves nothing
# to the others. A smaller MaxReceiveBufferPerStream delays it until there are enough full
# streams. HAProxy reads the frames of a connection in their order, and waits where the
# stream's buffer is full. A lower tune.h2.initial-window-size, by its manual a way "to
# increase fairness", changes nothing, not even with half of a buffer.
# Matters: tunnels in streams are how meshes and sidecars save handshakes on the way to an
# egress proxy. One upload to a server that hangs then silences the whole pod: requests of
# other programs to healthy hosts hang without an error, while the connection is open and
# idle. A connection for many tunnels needs a window that is many times that of a stream,
# or is shared by few.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

# libsystemd0 and libpcre2-8-0 belong to each Debian.
{
	apt-get download haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
		libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }

# The program is client, origins, proxy of Go, and the HTTP/1.1 proxy behind HAProxy, which
# inherits its listener as file descriptor 3.
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

const config = `
global
	%s
defaults
	mode http
	timeout connect 60s
	timeout client 5m
	timeout server 5m
frontend h2
	bind fd@3 proto h2
	default_backend proxy
backend proxy
	server proxy %s
`

var deaf, echo = listen(), listen()

func main() {
	go serveOrigins()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	try("Go", goProxy(http.HTTP2Config{}))
	try("Go, 64 KiB a stream", goProxy(http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}))
	try("HAProxy", haproxy(ctx, ""))
	try("HAProxy, 8 KiB a stream", haproxy(ctx, "tune.h2.initial-window-size 8192"))
}

// serveOrigins serves one origin that reads nothing, and one that sends back all it reads.
func serveOrigins() {
	go func() {
		var open []net.Conn // A connection that is forgotten is closed.
		for {
			open = append(open, accept(deaf))
		}
	}()
	for {
		connection := accept(echo)
		go func() { _, _ = io.Copy(connection, connection) }()
	}
}

func goProxy(http2 http.HTTP2Config) string {
	server := httptest.NewUnstartedServer(http.HandlerFunc(tunnel))
	server.Config.Protocols, server.Config.HTTP2 = unencrypted(), &http2
	server.Config.Protocols.SetHTTP1(true)
	server.Start()
	return server.Listener.Addr().String()
}

func haproxy(ctx context.Context, setting string) string {
	check(os.WriteFile("haproxy.cfg", fmt.Appendf(nil, config, setting, goProxy(http.HTTP2Config{})), 0o600))
	command := exec.CommandContext(ctx, "root/usr/sbin/haproxy", "-db", "-q", "-f", "haproxy.cfg")
	command.Stderr = os.Stderr
	frontend := listen()
	file, err := frontend.(*net.TCPListener).File()
	check(err)
	command.ExtraFiles = []*os.File{file}
	check(command.Start())
	check(frontend.Close())
	return frontend.Addr().String()
}

// tunnel is a proxy for CONNECT by both versions of HTTP.
func tunnel(w http.ResponseWriter, r *http.Request) {
	origin, err := net.Dial("tcp", r.Host)
	check(err)
	defer origin.Close()
	controller := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	if r.ProtoMajor == 1 {
		client, buffered, err := controller.Hijack()
		check(err)
		defer client.Close()
		go func() { _, _ = io.Copy(client, origin) }()
		_, _ = io.Copy(origin, buffered)
		return
	}
	check(controller.Flush())
	go func() { _, _ = io.Copy(origin, r.Body) }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := origin.Read(buffer)
		if err != nil {
			return
		}
		_, _ = w.Write(buffer[:n])
		_ = controller.Flush()
	}
}

// try opens two tunnels on one connection, and fills that to the origin that reads nothing.
func try(name, proxy string) {
	transport := &http.Transport{Protocols: unencrypted()}
	defer transport.CloseIdleConnections()
	other := open(transport, proxy, echo)
	before := other.ask(time.Minute)
	full := open(transport, proxy, deaf)
	var sent atomic.Int64
	go func() {
		piece := make([]byte, 16<<10)
		for {
			n, err := full.Write(piece)
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	}()
	for last := int64(-1); last != sent.Load(); time.Sleep(5 * time.Second) {
		last = sent.Load()
	}
	fmt.Fprintf(os.Stderr, "%s: the tunnel took %d KiB\n", name, sent.Load()>>10)
	after := other.ask(20 * time.Second)
	alone := open(&http.Transport{Protocols: unencrypted()}, proxy, echo).ask(time.Minute)
	fmt.Printf("%s: answer of the other tunnel: before %t, after %t, on a connection of its own %t\n", name, before, after, alone)
}

type stream struct {
	io.Writer
	io.Reader
}

func open(transport *http.Transport, proxy string, origin net.Listener) stream {
	body, writer := io.Pipe()
	response, err := transport.RoundTrip(&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Scheme: "http", Host: proxy}, Host: origin.Addr().String(),
		Body: body, ContentLength: -1, Header: http.Header{},
	})
	check(err)
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		panic(response.Status + " by " + response.Proto)
	}
	return stream{writer, response.Body}
}

// ask tells whether a message comes back in time.
func (s stream) ask(timeout time.Duration) bool {
	message := strings.Repeat("x", 1<<10)
	answered := make(chan struct{})
	go func() {
		_, _ = io.WriteString(s, message)
		_, err := io.ReadFull(s, make([]byte, len(message)))
		check(err)
		close(answered)
	}()
	select {
	case <-answered:
		return true
	case <-time.After(timeout):
		return false
	}
}

func unencrypted() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	return listener
}

func accept(listener net.Listener) net.Conn {
	connection, err := listener.Accept()
	check(err)
	return connection
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
libraries=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
output=$(LD_LIBRARY_PATH=$libraries ./run)
echo "$output"

if [ "$output" != 'Go: answer of the other tunnel: before true, after false, on a connection of its own true
Go, 64 KiB a stream: answer of the other tunnel: before true, after true, on a connection of its own true
HAProxy: answer of the other tunnel: before true, after false, on a connection of its own true
HAProxy, 8 KiB a stream: answer of the other tunnel: before true, after false, on a connection of its own true' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
