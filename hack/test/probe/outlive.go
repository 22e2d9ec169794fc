package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"time"
)

const (
	// outliveLimit is the time within which the first connection has to end, and
	// another one to serve.
	outliveLimit = 10 * time.Minute
	// provenBy is the number of requests in succession that prove that the other
	// connection serves.
	provenBy = 20
)

// outlive fetches as an application does that goes on after errors: on one connection as
// long as that lasts, and then on others. It prints the number of connections that have
// served, and the number of requests that failed with the time from the first to the last
// of them.
func outlive(ctx context.Context, target string, proxy func(*http.Request) (*url.URL, error)) error {
	ctx, cancel := context.WithTimeout(ctx, outliveLimit)
	defer cancel()
	// The end of a connection is noticed at once. A request that is given up although its
	// connection lives, on a busy machine, would need a third one.
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: proxy}}
	var connection string // the local address of the last request's
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		connection = got.Conn.LocalAddr().String()
	}})
	served := map[string]bool{}
	var failed, succession int
	var first, last time.Time
	var lastError error
	for ; succession < provenBy || len(served) < 2; time.Sleep(100 * time.Millisecond) {
		err := request(traced, client, target)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%d connections have served and %d requests failed: %w", len(served), failed, cmp.Or(lastError, ctx.Err()))
		case err != nil:
			if last, lastError = time.Now(), err; failed == 0 {
				first = last
			}
			failed++
			succession = 0
		default:
			served[connection] = true
			succession++
		}
	}
	fmt.Fprintf(os.Stdout, "%d connections\n%d requests failed within %s\n", len(served), failed, last.Sub(first).Round(100*time.Millisecond))
	return nil
}
