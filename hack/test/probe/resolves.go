package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// Bounds of resolves: many names at once, and less time for each than other commands
// have, because a server that drops packets would take it for each name.
const (
	resolvesAtOnce = 32
	resolveTimeout = 2 * time.Second
)

// resolves looks up names below a domain, each once, as a program does that carries
// data out by DNS: by the server and the search list of the pod's resolv.conf, or by
// the server ADDRESS:PORT. It prints how many names have addresses, do not exist, and
// have no answer.
func resolves(ctx context.Context, domain, count, server string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return fmt.Errorf("the number of names: %w", err)
	}
	resolver := &net.Resolver{PreferGo: true}
	if server != "" {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
	}
	var lock sync.Mutex
	var group sync.WaitGroup
	var found, unknown, failed int
	turn := make(chan struct{}, resolvesAtOnce)
	for i := range n {
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
			defer cancel()
			_, err := resolver.LookupNetIP(ctx, "ip4", fmt.Sprintf("data-%04d.%s.", i, domain))
			lock.Lock()
			defer lock.Unlock()
			dnsErr, isDNS := errors.AsType[*net.DNSError](err)
			switch {
			case err == nil:
				found++
			case isDNS && dnsErr.IsNotFound:
				unknown++
			default:
				failed++
			}
		})
	}
	group.Wait()
	fmt.Fprintf(os.Stdout, "found: %d\nunknown: %d\nfailed: %d\n", found, unknown, failed)
	return nil
}
