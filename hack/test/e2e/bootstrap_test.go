package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/network"
	"egress.scw/hack/test/stopwatch"
)

// bootstrap's output files give access to the cluster: only their owner may
// read them.
func TestKubeconfigWorks(t *testing.T) {
	requireEnvironment(t)
	info, err := os.Stat(shared.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("%s has the mode %o", shared.Kubeconfig(), mode)
	}
	out, err := kubectl(t.Context(), "get", "nodes", "-o", "name")
	if err != nil || !slices.Contains(lines(out), "node/node1") {
		t.Errorf("kubectl get nodes: %q, %v", out, err)
	}
}

// Resources that bootstrap has made show no difference at the next run.
func TestPlanIsEmptyAfterApply(t *testing.T) {
	requireEnvironment(t)
	checkPlan(t, shared.ConfigFile())
}

// A tenant is added to the running proxy and removed again, and its address
// with it. Another tenant's connections continue. Its new connections are
// refused for a moment, in which Squid has closed its ports to read its file
// (0.2 s when this was written). Nothing worse happens.
func TestAddAndRemoveTenant(t *testing.T) {
	requireEnvironment(t)
	const name, port = "client-c", "3131"
	config := withTenant(t, "    - name: "+name+"\n      proxy: {port: "+port+", egressIP: Dedicated}\n")
	checkPlan(t, config, "create flexible-ip", "create attachment", "update user-data")
	if answers(t, port) {
		t.Errorf("%s has a port before it is there", name)
	}

	kept, anew := keepAsking(t, "3129", false), keepAsking(t, "3129", true)
	own := apply(t, config).Addresses.Dedicated[name]
	t.Cleanup(func() { apply(t, shared.ConfigFile()) })
	eventually(t, "the port of "+name, func() (bool, string) { return answers(t, port), "no answer on " + port })
	seen, err := ask(t.Context(), clientOnNode(t, port, true), environment.IPEchoName)
	if err != nil || !slices.Equal(own, []string{seen}) {
		t.Errorf("%s is seen as %q, %v; its own address is %q", name, seen, err, own)
	}
	apply(t, shared.ConfigFile())
	eventually(t, "the port of "+name+" to be closed", func() (bool, string) {
		// In this order: while Squid reads its file, all ports are closed.
		return !answers(t, port) && answers(t, "3129"), "another answer on one of the ports"
	})

	if n, interruptions := kept(); n == 0 || len(interruptions) > 0 {
		t.Errorf("%d requests on one connection, interruptions: %v", n, interruptions)
	}
	n, interruptions := anew()
	t.Logf("%d requests on connections of their own, interruptions: %v", n, interruptions)
	if n == 0 || len(interruptions) > 2 { // one for each reload
		t.Errorf("%d requests on connections of their own, interruptions: %v", n, interruptions)
	}
	for _, i := range interruptions {
		if i.lasted > 2*time.Second || !errors.Is(i.cause, syscall.ECONNREFUSED) && !errors.Is(i.cause, syscall.ECONNRESET) {
			t.Errorf("new connections do not work: %v", i)
		}
	}
	checkPlan(t, shared.ConfigFile())
}

// checkPlan compares the steps of a plan by their beginnings.
func checkPlan(t *testing.T, config string, want ...string) {
	t.Helper()
	out, err := shared.Bootstrap(t.Context(), "plan", "--output", "json", "--config", config)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = exit.ExitCode(), nil
	}
	wantCode := 0
	if len(want) > 0 {
		wantCode = 2
	}
	if err != nil || code != wantCode {
		t.Fatalf("bootstrap plan: exit code %d, %v; want %d\n%s", code, err, wantCode, out)
	}
	var plan struct {
		Steps []struct{ Action, Kind string }
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, step := range plan.Steps {
		got = append(got, step.Action+" "+step.Kind)
	}
	if !slices.Equal(got, want) {
		t.Errorf("bootstrap plan: %q; want %q\n%s", got, want, out)
	}
}

// applied is the output of bootstrap apply.
type applied struct {
	Addresses struct {
		Dedicated map[string][]string
	}
	Drained []struct {
		Role, Problem string
		Connections   *int
	}
	Postponed []string
}

func apply(t *testing.T, config string, flags ...string) (result applied) {
	t.Helper()
	// Cleanups run after the test's context has ended.
	out, err := shared.Bootstrap(context.WithoutCancel(t.Context()), append([]string{"apply", "--yes", "--output", "json", "--config", config}, flags...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &result)
	}
	if err != nil {
		t.Errorf("bootstrap apply: %v\n%s", err, out)
	}
	return result
}

// answers reports whether the proxy has this port, for a pod without a policy.
func answers(t *testing.T, port string) bool {
	t.Helper()
	_, err := probe(t.Context(), namespacePlain, "dial", "tcp", net.JoinHostPort(shared.Plan.ProxyPrivate.String(), port))
	if err != nil && !isProbes(err) {
		t.Fatal(err)
	}
	return err == nil
}

// withTenant is a copy of the environment's egress.yaml with an additional
// tenant, in a folder of its own, for its outputs too.
func withTenant(t *testing.T, tenant string) string {
	t.Helper()
	text, err := os.ReadFile(shared.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "egressIP: Dedicated}\n") {
		t.Fatalf("%s does not end in the list of tenants", shared.ConfigFile())
	}
	file := filepath.Join(t.TempDir(), "egress.yaml")
	if err := os.WriteFile(file, append(text, tenant...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// interruption is a time in which no request of a series succeeded.
type interruption struct {
	lasted time.Duration // by a stopwatch
	cause  error         // of the first request
}

func (i interruption) String() string {
	return fmt.Sprintf("%s (%v)", i.lasted.Round(time.Millisecond), i.cause)
}

// keepAsking sends requests of the tenant with this port to the internet, one
// after the other, on a connection that is kept or each on a new one, until it is
// stopped.
func keepAsking(t *testing.T, port string, anew bool) (stop func() (worked int, interruptions []interruption)) {
	t.Helper()
	client := clientOnNode(t, port, anew)
	var ended atomic.Int32 // connections
	client.Transport.(*http.Transport).DialContext = dialWatched(&ended)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	worked := 0
	var interruptions []interruption
	wait.Go(func() {
		interrupted := false
		var watch stopwatch.Stopwatch // of the current interruption
		for ctx.Err() == nil {
			_, err := ask(context.WithoutCancel(ctx), client, environment.IPEchoName)
			switch {
			case err != nil && !interrupted:
				interrupted, watch = true, stopwatch.Start()
				interruptions = append(interruptions, interruption{cause: err})
			case err == nil && interrupted:
				interruptions[len(interruptions)-1].lasted = watch.Elapsed()
				interrupted = false
			}
			if err == nil {
				worked++
			}
			time.Sleep(5 * time.Millisecond) // the two cores have other work as well
		}
		if interrupted {
			interruptions[len(interruptions)-1].lasted = watch.Elapsed()
		}
	})
	end := sync.OnceFunc(func() { cancel(); wait.Wait() })
	t.Cleanup(end)
	return func() (int, []interruption) {
		end()
		if n := ended.Load(); !anew && n > 0 {
			t.Errorf("%d kept connections were ended by the proxy", n)
		}
		return worked, interruptions
	}
}

// ask returns the answer of a host in the internet. The IP echo answers with
// the address that it sees.
func ask(ctx context.Context, client *http.Client, host string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}

// clientOnNode is an HTTP client in the node's network namespace that uses a
// port of the proxy.
func clientOnNode(t *testing.T, port string, anew bool) *http.Client {
	t.Helper()
	authority, err := os.ReadFile(shared.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatalf("no certificate in %s", shared.CAFile())
	}
	proxy := &url.URL{Scheme: "http", Host: net.JoinHostPort(shared.Plan.ProxyPrivate.String(), port)}
	transport := &http.Transport{
		Proxy:             http.ProxyURL(proxy),
		DialContext:       dialFromNode,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: anew,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// dialWatched is dialFromNode for connections whose end by the other side is counted.
// Their number would not do: the client itself replaces a connection when the machine
// is so busy that a request seems to be not completely sent.
func dialWatched(ended *atomic.Int32) func(ctx context.Context, protocol, address string) (net.Conn, error) {
	return func(ctx context.Context, protocol, address string) (net.Conn, error) {
		connection, err := dialFromNode(ctx, protocol, address)
		if err != nil {
			return nil, err
		}
		return &watchedConnection{Conn: connection, ended: ended}, nil
	}
}

// watchedConnection counts ends of a connection that the other side causes.
type watchedConnection struct {
	net.Conn

	closed atomic.Bool
	ended  *atomic.Int32
}

func (c *watchedConnection) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	if err != nil && !c.closed.Load() {
		c.ended.Add(1)
	}
	return n, err
}

func (c *watchedConnection) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// dialFromNode connects from the node's network namespace.
func dialFromNode(ctx context.Context, protocol, address string) (connection net.Conn, err error) {
	return dialFrom(ctx, "/run/netns/"+shared.Plan.Netns(network.Node), protocol, address)
}

// dialFrom connects from the network namespace with this path: a socket stays in the
// namespace that its thread was in.
func dialFrom(ctx context.Context, netns, protocol, address string) (connection net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var namespace *os.File
		if namespace, err = os.Open(netns); err != nil {
			return
		}
		defer namespace.Close()
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		var dialer net.Dialer
		connection, err = dialer.DialContext(ctx, protocol, address)
	}()
	<-done
	return connection, err
}
