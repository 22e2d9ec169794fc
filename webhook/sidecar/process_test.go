package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// envProgram makes the program of the tests the sidecar, with its arguments.
const envProgram = "EGRESS_TEST_SIDECAR"

// TestMain runs the sidecar itself in processes that startProcess starts.
func TestMain(m *testing.M) {
	if os.Getenv(envProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a sidecar that runs as in a pod, apart from its ports.
type process struct {
	*exec.Cmd
	address, dns, metrics string
	folder                string
	version               int // of the files
	authority             *machinetest.Authority
	config                *sidecar.Config
	logs                  *machinetest.Buffer
	ended                 chan error
}

// startProcess starts a sidecar without files, and returns when it listens.
func startProcess(t *testing.T, env ...string) *process {
	t.Helper()
	p := &process{
		address: machinetest.FreeAddress(t), metrics: machinetest.FreeAddress(t), folder: t.TempDir(),
		dns:       fmt.Sprintf("127.0.0.1:%d", machinetest.FreePort(t)), // also by UDP
		authority: machinetest.NewAuthority(t), config: &sidecar.Config{Tenant: "client-a"}, logs: new(machinetest.Buffer), ended: make(chan error, 1),
	}
	p.Cmd = exec.CommandContext(t.Context(), os.Args[0], "run", "--config", p.folder, "--listen", p.address, "--dns", p.dns, "--metrics", p.metrics)
	p.Env = append(append(os.Environ(), envProgram+"=1", names.EnvPodNamespace+"=shop", names.EnvPodName+"=web-1"), env...)
	p.Stderr = p.logs
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		if t.Failed() {
			t.Logf("the sidecar logged:\n%s", p.logs)
		}
	})
	awaitState(t, p.address, "{")
	return p
}

// machine starts a machine, and adds it to the configuration.
func (p *process) machine(t *testing.T) *machinetest.Machine {
	t.Helper()
	server, machine := machinetest.Start(t, p.authority)
	p.config.Machines = append(p.config.Machines, machine)
	return server
}

// mount writes the files, with a further certificate of the tenant, and returns when
// they are in use.
func (p *process) mount(t *testing.T) {
	t.Helper()
	p.version++
	certificate, key := p.authority.Tenant(t, p.config.Tenant, time.Hour)
	machinetest.Mount(t, p.folder, strconv.Itoa(p.version), map[string][]byte{
		names.SidecarConfigKey: machinetest.File(t, p.config), names.SidecarCertificateKey: certificate, names.SidecarPrivateKeyKey: key,
	})
	p.awaitLines(t, "the files of the Secret are in use", p.version)
}

// line is a log line.
type line map[string]any

// lines returns the log lines with a message.
func (p *process) lines(message string) []line {
	var found []line
	for text := range strings.Lines(p.logs.String()) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil && l["msg"] == message {
			found = append(found, l)
		}
	}
	return found
}

// awaitLines returns the log lines with a message when there are as many.
func (p *process) awaitLines(t *testing.T, message string, count int) []line {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d lines %q", count, message), func() bool { return len(p.lines(message)) >= count })
	return p.lines(message)
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// stop sends SIGTERM.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd fails if the process does not end soon, or ends with an error.
func (p *process) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("the sidecar ended with %v", err)
		}
	case <-time.After(drainBound / 2):
		t.Errorf("the sidecar does not end")
	}
}

// tunnel is an open tunnel.
type tunnel struct {
	*net.TCPConn
	reader *bufio.Reader
}

// open opens a tunnel. The error has the status, and the reason and cure of the sidecar.
func (p *process) open(target string) (*tunnel, error) {
	connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
	if err != nil {
		return nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(connection, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	opened := &tunnel{connection.(*net.TCPConn), bufio.NewReader(connection)}
	response, err := http.ReadResponse(opened.reader, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the connection is closed
	if err == nil && response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(opened.reader, response.ContentLength))
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	if err != nil {
		_ = connection.Close()
		return nil, err
	}
	return opened, nil
}

// echo sends a byte, and reads it back.
func (c *tunnel) echo() error {
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	got, err := c.reader.ReadByte()
	if err == nil && got != 'x' {
		err = fmt.Errorf("read %q", got)
	}
	return err
}

// exchange opens a tunnel to an echo server, and uses it.
func (p *process) exchange(echo string) error {
	opened, err := p.open(echo)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	return opened.echo()
}

// client returns a client of the sidecar with a connection for each request.
func (p *process) client() *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: p.address}), DisableKeepAlives: true},
	}
}

// get requests a URL of plain HTTP.
func (p *process) get(address string) (*http.Response, string, error) {
	response, err := p.client().Get(address) //nolint:noctx // it has a timeout
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// post sends a body to a URL of plain HTTP, whose server sends it back.
func (p *process) post(address, body string) (status int, err error) {
	response, err := p.client().Post(address, "text/plain", strings.NewReader(body)) //nolint:noctx // it has a timeout
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusOK && string(got) != body {
		err = fmt.Errorf("the body is %q", got)
	}
	return response.StatusCode, err
}

// metric returns the line of a metric with its labels.
func (p *process) metric(t *testing.T, name string) string {
	t.Helper()
	response, err := http.Get("http://" + p.metrics + "/metrics") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	scanner := bufio.NewScanner(response.Body)
	for scanner.Scan() {
		if strings.HasPrefix(scanner.Text(), name+" ") {
			return scanner.Text()
		}
	}
	t.Errorf("there is no metric %s", name)
	return ""
}

// state runs the probe.
func (p *process) state(t *testing.T) string {
	t.Helper()
	probe := exec.CommandContext(t.Context(), os.Args[0], "check", "--listen", p.address)
	probe.Env = append(os.Environ(), envProgram+"=1")
	output := new(bytes.Buffer)
	probe.Stdout, probe.Stderr = output, output
	if err := probe.Run(); err != nil {
		t.Errorf("check: %v: %s", err, output)
	}
	return output.String()
}
