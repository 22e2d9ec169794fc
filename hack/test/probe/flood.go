package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// largestBody is what the webhook reads at most.
const largestBody = 7 << 20

// onslaught is a number of connections on which the same bytes are sent, again and
// again. The server, or the end of the flood, closes each.
type onslaught struct {
	connections int
	secure      bool
	head        string
	body        []byte
}

// onslaughts are connections that take memory or wait: large bodies, deeply nested
// ones, and requests that never complete.
func onslaughts() []onslaught {
	const unfinished = "POST /mutate-pods HTTP/1.1\r\nHost: x\r\n"
	header := fmt.Sprintf("%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", unfinished, largestBody)
	large := bytes.Repeat([]byte("x"), largestBody)
	copy(large, `{"kind":"`)
	nested := bytes.Repeat([]byte("["), largestBody)
	return []onslaught{
		{connections: 40, secure: true, head: header, body: large},
		{connections: 20, secure: true, head: header, body: nested},
		{connections: 300},
		{connections: 300, secure: true, head: unfinished},
		{connections: 100, secure: true, head: header, body: large[:1<<20]},
	}
}

// flood sends all onslaughts to a server for a time, and prints the number of
// connections.
func flood(ctx context.Context, address, lasting string) error {
	duration, err := time.ParseDuration(lasting)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, duration)
	defer stop()
	var opened, sent atomic.Int64
	var running sync.WaitGroup
	for _, o := range onslaughts() {
		for range o.connections {
			running.Go(func() {
				for ctx.Err() == nil {
					o.send(ctx, address, &opened, &sent)
					time.Sleep(dialInterval)
				}
			})
		}
	}
	running.Wait()
	fmt.Fprintf(os.Stdout, "opened %d sent %d\n", opened.Load(), sent.Load())
	return nil
}

// send opens one connection, and waits for its end. opened counts connections, and
// sent those on which everything was sent.
func (o onslaught) send(ctx context.Context, address string, opened, sent *atomic.Int64) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	opened.Add(1)
	if o.secure {
		connection = tls.Client(connection, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it sends no secret
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	if o.head != "" {
		if _, err := io.WriteString(connection, o.head); err != nil {
			return
		}
		if _, err := connection.Write(o.body); err != nil {
			return
		}
		sent.Add(1)
	}
	_, _ = io.Copy(io.Discard, connection)
}
