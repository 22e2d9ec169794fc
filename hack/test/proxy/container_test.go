package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
	"egress.scw/webhook/api/policy"
)

// netnsContainer is the network namespace of the container of docs/try.md. The name
// server and the only origin have addresses of their own in it.
const netnsContainer = network.TestPrefix + "container"

// Addresses and the allowed name in hack/try/egress.yaml.
const (
	containerAddress    = "172.28.0.8"
	containerNameServer = "9.9.9.9"
	containerAllowed    = "api.ipify.org"
)

// The container of docs/try.md is built by the commands of its Dockerfile, refuses to start
// without a squid.conf of bootstrap render, and serves the tenant of hack/try/egress.yaml.
func TestProxyAsContainer(t *testing.T) {
	root := rootfs(t, machine.DefaultImage())
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := builder.Build(t.Context(), programs.Bootstrap())
	if err != nil {
		t.Fatal(err)
	}
	environment := lockedEnvironment(t)
	serveContainer(t, environment)

	repository := builder.Root()
	conf := execute(t, "", bootstrap, "render", "--config", filepath.Join(repository, "hack/try/egress.yaml"), "--only", "squid-conf")
	container := startContainer(t, environment, root, repository, conf)
	if status, page := container.get(t, "http://example.org/"); status != http.StatusForbidden ||
		!strings.Contains(page, `Tenant client-a: the request to example.org is denied by the rule "domain".`) {
		t.Errorf("a name that is not listed: status %d, page\n%s", status, page)
	}
	if status, page := container.get(t, "http://"+containerAllowed+"/"); status != http.StatusOK || !strings.Contains(page, containerAddress) {
		t.Errorf("the allowed name: status %d, and the origin did not see %s:\n%s", status, containerAddress, page)
	}
	container.requireAudit(t, "example.org", policy.VerdictDenied)
	container.requireAudit(t, containerAllowed, policy.VerdictAllowed)
	const refusal = "proxy: /etc/squid/squid.conf is not the output of bootstrap render"
	if log := container.log(t); !strings.Contains(log, refusal) {
		t.Errorf("without a squid.conf it did not print %q:\n%s", refusal, log)
	}
}

// serveContainer makes the network of the container, and serves the allowed name in it.
func serveContainer(t *testing.T, environment process.Environment) {
	t.Helper()
	remove := func() { _ = exec.CommandContext(context.Background(), "ip", "netns", "delete", netnsContainer).Run() } // it may not exist
	remove()
	t.Cleanup(remove)
	execute(t, "", "ip", "netns", "add", netnsContainer)
	execute(t, "", "ip", "-n", netnsContainer, "link", "set", "lo", "up")
	for _, address := range []string{containerAddress + "/20", containerNameServer + "/32", echoAddress + "/32"} {
		execute(t, "", "ip", "-n", netnsContainer, "address", "add", address, "dev", "lo")
	}
	config := internet.Config{
		Zone:        internet.Zone{containerAllowed: {netip.MustParseAddr(echoAddress)}},
		NameServers: []netip.AddrPort{netip.MustParseAddrPort(containerNameServer + ":53")},
		HTTP:        []netip.AddrPort{netip.MustParseAddrPort(echoAddress + ":80")},
		Control:     filepath.Join(string(environment), "control"),
		Events:      io.Discard,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- machine.Within(netnsContainer, func() error { return internet.Serve(ctx, config) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for client := internet.NewClient(config.Control); client.Ready(t.Context()) != nil; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- nil
			t.Fatal(err)
		default:
		}
	}
}

// container is the running proxy of docs/try.md.
type container struct {
	environment process.Environment
	process     process.Process
	client      *http.Client
}

// startContainer builds the container's root filesystem by the commands of its Dockerfile,
// starts it with a squid.conf, and waits until it answers.
func startContainer(t *testing.T, environment process.Environment, image machine.RootFS, repository, conf string) *container {
	t.Helper()
	dockerfile, err := os.ReadFile(filepath.Join(repository, "hack/try/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	build, start := dockerScript(t, string(dockerfile))
	folder := func(name string) string {
		path := filepath.Join(string(environment), name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	confFile := filepath.Join(string(environment), "squid.conf")
	if err := os.WriteFile(confFile, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(string(environment), 0o755); err != nil { // the container's /, which every user may read
		t.Fatal(err)
	}
	started, err := environment.Start(process.Command{
		Name: "container", Netns: netnsContainer, Path: "unshare",
		Args: []string{"--mount", "--pid", "--fork", "--kill-child", "--propagation=private", "sh", "-euc", containerBase + build + containerStart + start},
		Env: []string{
			"root=" + folder("root"), "layers=" + fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", image.Root, folder("disk"), folder("work")),
			"packages=" + image.Packages, "repository=" + repository, "conf=" + confFile,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &container{environment: environment, process: started, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		Proxy: func(*http.Request) (*url.URL, error) { return url.Parse("http://" + containerAddress + ":3129") },
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := dial(ctx, netnsContainer, address)
			if err != nil {
				return nil, err
			}
			return conn.Conn, nil
		},
	}}}
	t.Cleanup(c.client.CloseIdleConnections)
	c.wait(t)
	return c
}

// wait waits until the container answers on the tenant's port, or has ended.
func (c *container) wait(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		conn, err := dial(t.Context(), netnsContainer, containerAddress+":3129")
		if err == nil {
			_ = conn.Close()
			return
		}
		if !c.process.Alive() || time.Now().After(deadline) {
			t.Fatalf("the container does not answer: %v; its output:\n%s", err, c.log(t))
		}
	}
}

func (c *container) log(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(c.environment.LogFile(c.process.Name))
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

func (c *container) get(t *testing.T, target string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.client.Do(request)
	if err != nil {
		t.Fatalf("%v; the container's output:\n%s", err, c.log(t))
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// requireAudit waits until the container's output has a record of a request of client-a to
// a host, and compares its verdict.
func (c *container) requireAudit(t *testing.T, host string, verdict policy.Verdict) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		for line := range strings.Lines(c.log(t)) {
			var record squid.AuditRecord
			if json.Unmarshal([]byte(line), &record) != nil || record.Host != host {
				continue
			}
			if record.Tenant != "client-a" || record.Verdict != verdict {
				t.Errorf("the record of %s is %s, want tenant client-a and verdict %s", host, line, verdict)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no record of %s in the container's output:\n%s", host, c.log(t))
		}
	}
}
