package squid

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// TestTimeouts pins the effect of Squid's two timeouts, and the traffic that
// neither limits.
func TestTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		before, after             string
		silentEnds, answerIsWhole bool
	}{
		"read_timeout":    {"read_timeout 15 minutes\n", "read_timeout 10 seconds\n", true, true},
		"client_lifetime": {"client_lifetime 12 hours\n", "client_lifetime 2 seconds\n", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := startDrippingSite(t)
			proxy := liveProxy(t)
			ports := []int32{80, site.port, site.tlsPort}
			tenants := []v1alpha1.Tenant{
				withAllow("open", 3129, &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: ports}),
				withAllow("enforce", 3130, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}, Ports: ports}), // its tunnels are inspected
			}
			file := withHosts(t, proxy, tenants, "127.0.0.1", []string{"listed.test"})
			file = replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n")
			file = replaceOnce(t, file, "acl tls_port port 443\n", fmt.Sprintf("acl tls_port port %d\n", site.tlsPort))
			startFile(t, proxy, replaceOnce(t, file, test.before, test.after))

			var workers sync.WaitGroup
			for _, tenant := range tenants {
				workers.Go(func() {
					if err := site.talk(t, proxy, tenant); err != nil {
						t.Errorf("%s: a tunnel in which something is said: %v", tenant.Name, err)
					}
				})
				workers.Go(func() {
					if ended := site.keepSilent(t, proxy, tenant, test.silentEnds); ended != test.silentEnds {
						t.Errorf("%s: a tunnel in which nothing is said any more: ended: %t, want %t", tenant.Name, ended, test.silentEnds)
					}
				})
				workers.Go(func() {
					if whole := site.get(t, proxy, tenant); whole != test.answerIsWhole {
						t.Errorf("%s: an answer that takes long: whole: %t, want %t", tenant.Name, whole, test.answerIsWhole)
					}
				})
			}
			workers.Wait()
		})
	}
}

// The answer has many pieces and takes longer than the timeouts of the test. A busy machine needs
// less than the longer one of them for a piece.
const (
	pieces = 30
	pause  = time.Second / 2
)

// drippingSite answers "/" at once, and any other path piece by piece.
type drippingSite struct{ port, tlsPort int32 }

func startDrippingSite(t *testing.T) drippingSite {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		for range pieces {
			fmt.Fprintln(w, "piece")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
	})
	plain, encrypted := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the errors of tunnels that end without a TLS shutdown
	encrypted.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(encrypted.Close)
	portOf := func(s *httptest.Server) int32 { return int32(s.Listener.Addr().(*net.TCPAddr).Port) }
	return drippingSite{portOf(plain), portOf(encrypted)}
}

// tunnel opens a tunnel and TLS in it.
func (s drippingSite) tunnel(t *testing.T, proxy Config, tenant v1alpha1.Tenant) (*tls.Conn, error) {
	connection, err := connectTo(t.Context(), proxy, tenant)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { connection.Close() })
	status, err := openTunnel(connection, fmt.Sprintf("listed.test:%d", s.tlsPort))
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("CONNECT: status %d, %w", status, err)
	}
	inside := tls.Client(connection, &tls.Config{ServerName: "listed.test", InsecureSkipVerify: true})
	return inside, inside.HandshakeContext(t.Context())
}

// talk sends requests in a tunnel, one after the other.
func (s drippingSite) talk(t *testing.T, proxy Config, tenant v1alpha1.Tenant) error {
	inside, err := s.tunnel(t, proxy, tenant)
	if err != nil {
		return err
	}
	reader := bufio.NewReader(inside)
	for range pieces {
		if _, err := io.WriteString(inside, "GET / HTTP/1.1\r\nHost: listed.test\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		response.Body.Close()
		time.Sleep(pause)
	}
	return nil
}

// keepSilent reports whether a silent tunnel ends. An end that is expected may come late on a
// busy machine.
func (s drippingSite) keepSilent(t *testing.T, proxy Config, tenant v1alpha1.Tenant, expected bool) bool {
	patience := pieces * pause
	if expected {
		patience = time.Minute
	}
	inside, err := s.tunnel(t, proxy, tenant)
	if err == nil {
		err = inside.SetReadDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Errorf("%s: %v", tenant.Name, err)
		return false
	}
	_, err = io.Copy(io.Discard, inside)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// get reports whether an answer sent piece by piece arrives whole.
func (s drippingSite) get(t *testing.T, proxy Config, tenant v1alpha1.Tenant) bool {
	connection, err := connectTo(t.Context(), proxy, tenant)
	if err != nil {
		t.Errorf("%s: %v", tenant.Name, err)
		return false
	}
	defer connection.Close()
	fmt.Fprintf(connection, "GET http://listed.test:%d/pieces HTTP/1.1\r\nHost: listed.test\r\n\r\n", s.port)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s: %+v, %v", tenant.Name, response, err)
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil
}
