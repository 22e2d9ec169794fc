package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// getBy fetches through a proxy that is not the environment's.
func getBy(ctx context.Context, proxy, target string) error {
	by, err := url.Parse(proxy)
	if err != nil {
		return err
	}
	return get(ctx, target, http.ProxyURL(by), timeout)
}

// The pace of dials, and the time after which one counts as closed by default: the SYN
// is not repeated before a second has passed.
const (
	dialInterval = 10 * time.Millisecond
	dialTimeout  = 900 * time.Millisecond
)

// dials connects to an address again and again for a time, and prints how often
// it succeeded, and how often with the first packet. It does not end at a SIGTERM.
func dials(address, lasting, patient string) error {
	duration, err := time.ParseDuration(lasting)
	if err != nil {
		return err
	}
	bound, err := time.ParseDuration(patient)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: bound}
	var opened, first atomic.Int64
	var wait sync.WaitGroup
	ticker := time.NewTicker(dialInterval)
	defer ticker.Stop()
	total := 0
	for end := time.Now().Add(duration); time.Now().Before(end); total++ {
		<-ticker.C
		wait.Go(func() {
			connection, err := dialer.DialContext(context.Background(), "tcp", address)
			if err != nil {
				return
			}
			opened.Add(1)
			if tcp, ok := connection.(*net.TCPConn); ok {
				if repeated, err := repetitions(tcp); err == nil && repeated == 0 {
					first.Add(1)
				}
			}
			_ = connection.Close()
		})
	}
	wait.Wait()
	fmt.Fprintf(os.Stdout, "opened %d of %d, %d with the first packet\n", opened.Load(), total, first.Load())
	return nil
}

// hold sends requests on one connection for a time. It is an error if the
// connection ends before.
func hold(ctx context.Context, target, lasting string) error {
	duration, err := time.ParseDuration(lasting)
	if err != nil {
		return err
	}
	var once atomic.Bool
	// On a busy machine, an answer on a connection that lives may take seconds.
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !once.CompareAndSwap(false, true) {
				return nil, errors.New("the connection has ended")
			}
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, address)
		},
	}}
	count := 0
	for end := time.Now().Add(duration); time.Now().Before(end); count++ {
		if err := request(ctx, &client, target); err != nil {
			return fmt.Errorf("after %d requests: %w", count, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintf(os.Stdout, "%d requests on one connection\n", count)
	return nil
}

// request fetches a URL and drops the answer, so that its connection is used
// again.
func request(ctx context.Context, client *http.Client, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
