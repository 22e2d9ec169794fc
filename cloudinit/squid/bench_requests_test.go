package squid

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/api/policy"
)

// connect opens a connection to a tenant's port.
func (s benchSquid) connect(ctx context.Context, tenant int) (net.Conn, error) {
	return connectTo(ctx, s.proxy, s.tenants[tenant%len(s.tenants)])
}

// tunnel opens tunnels for a tenant, one after the other, with TLS and one
// request in each. It returns their number.
func (s site) tunnel(ctx context.Context, squid benchSquid, tenant int) (int, error) {
	const count = 8
	for i := range count {
		tunnel, err := s.openTLS(ctx, squid, tenant, i*benchDomains/count)
		if err != nil {
			return 0, err
		}
		if err := exchangeInside(tunnel); err != nil {
			return 0, err
		}
	}
	return count, nil
}

func exchangeInside(tunnel net.Conn) error {
	defer tunnel.Close()
	if _, err := io.WriteString(tunnel, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(tunnel)
	if err == nil && !strings.HasSuffix(string(answer), "reached") {
		err = fmt.Errorf("in the tunnel: %q", answer)
	}
	return err
}

// openTLS opens a tunnel and TLS in it.
func (s site) openTLS(ctx context.Context, squid benchSquid, tenant, host int) (net.Conn, error) {
	connection, err := squid.connect(ctx, tenant)
	if err != nil {
		return nil, err
	}
	name := benchHost(tenant, host)
	status, err := openTunnel(connection, net.JoinHostPort(name, strconv.Itoa(s.tlsPort)))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("CONNECT %s: status %d", name, status)
	}
	secured := tls.Client(connection, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err == nil {
		err = secured.HandshakeContext(ctx)
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	return secured, nil
}

// get sends requests of a tenant on one connection and returns their number.
func (s site) get(ctx context.Context, squid benchSquid, tenant int) (int, error) {
	const count = 40
	connection, err := squid.connect(ctx, tenant)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for i := range count {
		host := net.JoinHostPort(benchHost(tenant, i*benchDomains/count), strconv.Itoa(s.port))
		if _, err := fmt.Fprintf(connection, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", host, host); err != nil {
			return 0, err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != "reached" {
			return 0, fmt.Errorf("GET %s: status %d, %w", host, response.StatusCode, err)
		}
	}
	return count, nil
}

// cpuPerRequest has clients send requests for every tenant. It returns Squid's
// CPU time for each request in microseconds, helpers included.
func (s benchSquid) cpuPerRequest(b *testing.B, ask func(context.Context, benchSquid, int) (int, error)) float64 {
	b.Helper()
	before := s.cpu(b)
	var requests [benchTenants]int
	var clients sync.WaitGroup
	for client := range benchClients {
		clients.Go(func() {
			for tenant := client; tenant < benchTenants; tenant += benchClients {
				count, err := ask(b.Context(), s, tenant)
				if err != nil {
					b.Errorf("%s: %v", s.name, err)
				}
				requests[tenant] = count
			}
		})
	}
	clients.Wait()
	if b.Failed() {
		b.FailNow()
	}
	sum := 0
	for _, count := range requests {
		sum += count
	}
	return float64(s.cpu(b)-before) / float64(time.Microsecond) / float64(sum)
}

// requireAudited checks that the benchmark measures the claimed work: Squid
// inspects the SNI in tunnels and writes verdicts.
func requireAudited(b *testing.B, site site, squid benchSquid) {
	b.Helper()
	count, err := site.tunnel(b.Context(), squid, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, record := range readAudit(b, squid.proxy.AuditLog, count) {
		if record.Verdict != policy.VerdictAllowed || record.SNI != record.Host {
			b.Fatalf("not as it is with an allow list: %+v", record)
		}
	}
}

// open opens tunnels of all tenants and leaves them idle.
func (s site) open(b *testing.B, squid benchSquid, count int) []net.Conn {
	b.Helper()
	var tunnels []net.Conn
	for i := range count {
		tunnel, err := s.openTLS(b.Context(), squid, i%benchTenants, i/benchTenants)
		if err == nil {
			err = tunnel.SetDeadline(time.Time{})
		}
		if err != nil {
			b.Fatal(err)
		}
		tunnels = append(tunnels, tunnel)
	}
	return tunnels
}
