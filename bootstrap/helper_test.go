package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/config/configtest"
	"egress.scw/bootstrap/stack"
)

const project = "11111111-2222-4333-8444-555555555555"

// baseConfig is the shared egress.yaml under the names that the golden files
// have.
var baseConfig = strings.NewReplacer(
	"{name: test}", "{name: production}", "egress-test", "example-production",
	"{port: 3129}}", "{port: 3129}, noProxy: [intranet.example.com]}",
).Replace(configtest.Example())

// replaced returns baseConfig after replacements.
func replaced(t testing.TB, oldnew ...string) string {
	t.Helper()
	return configtest.Replace(t, baseConfig, oldnew...)
}

// twoMachines are replacements in baseConfig: two machines in two zones.
func twoMachines() []string {
	return []string{"privateIP: 172.16.28.8", "replicas: 2\n    zones: [fr-par-1, fr-par-2]\n    privateIPs: [172.16.28.8, 172.16.28.9]"}
}

func newSpec(t testing.TB, text string) stack.Spec {
	t.Helper()
	return stack.NewSpec(configtest.Decode(t, text), project)
}

// made returns all resources of a stack, as they exist after apply, with IDs and
// addresses.
func made(t testing.TB, spec stack.Spec) (*stack.Graph, *stack.Observed) {
	t.Helper()
	graph, err := stack.Desired(spec)
	if err != nil {
		t.Fatal(err)
	}
	if graph.Proxies[0].Server.CloudInit == nil { // the network is an existing one
		spec.Network = config.Network{CIDR: netip.MustParsePrefix("172.16.28.0/22")}
		ranged, err := stack.Desired(spec)
		if err != nil {
			t.Fatal(err)
		}
		for i, proxy := range graph.Proxies {
			proxy.Server.CloudInit = ranged.Proxies[i].Server.CloudInit
		}
	}
	address := netip.MustParseAddr("203.0.113.1")
	for i, r := range graph.Resources() {
		base := r.Meta()
		base.CreatedAt = time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
		if !base.Existing {
			base.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1)
		}
		switch r := r.(type) {
		case *stack.PrivateNetwork:
			if r.Existing {
				r.Name, r.CIDR = "theirs", netip.MustParsePrefix("172.16.28.0/22")
			}
		case *stack.Gateway:
			r.Address = netip.MustParseAddr("203.0.113.254")
		case *stack.FlexibleIP:
			r.Address, r.ServerID = address, "server"
			address = address.Next()
		case *stack.PrivateIP:
			if r.Free {
				r.Address = netip.MustParseAddr("172.16.28.70")
			}
		case *stack.Server:
			r.Running, r.VolumeID = true, "volume"
		case *stack.UserData:
			if r.Value, err = r.Render(); err != nil {
				t.Fatal(err)
			}
		case *stack.Registry:
			r.Endpoint = "rg.fr-par.scw.cloud/" + r.Name
		case *stack.Cluster:
			if r.Existing {
				r.Name, r.Network = "theirs", graph.Network
				r.PodCIDR, r.ServiceCIDR = netip.MustParsePrefix("100.64.0.0/15"), netip.MustParsePrefix("10.32.0.0/20")
			}
		}
	}
	return graph, &stack.Observed{Resources: graph.Resources()}
}

// noStale fails on golden files without a case.
func noStale(t *testing.T, pattern string, used []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(used, filepath.Base(file)) {
			t.Errorf("%s is stale: no case uses it", file)
		}
	}
}

// stubCloud is a Cloud whose results a test sets.
type stubCloud struct {
	observed   *stack.Observed
	checked    error
	kubeconfig string
	// statuses are the results of MachineStatus; the last one is repeated.
	statuses [][]byte
	// ofMachine returns the result of MachineStatus for a role. Nil: statuses has it.
	ofMachine func(role string) []byte
	// create is called for each resource to create, change or delete. Nil: all
	// calls succeed.
	create func(context.Context, stack.Resource) error
}

func (c *stubCloud) Observe(context.Context, stack.Spec) (*stack.Observed, error) {
	return c.observed, nil
}

func (c *stubCloud) Check(context.Context, stack.Spec, *stack.Plan) error { return c.checked }

func (c *stubCloud) Create(ctx context.Context, r stack.Resource, _ func(string)) error {
	if c.create == nil {
		return nil
	}
	return c.create(ctx, r)
}

func (c *stubCloud) Update(ctx context.Context, r stack.Resource, _ []stack.Change, report func(string)) error {
	return c.Create(ctx, r, report)
}

func (c *stubCloud) Delete(ctx context.Context, r stack.Resource, report func(string)) error {
	return c.Create(ctx, r, report)
}

func (c *stubCloud) MachineStatus(_ context.Context, server *stack.Server) ([]byte, error) {
	if c.ofMachine != nil {
		return c.ofMachine(server.Role), nil
	}
	if len(c.statuses) == 0 {
		return nil, nil
	}
	status := c.statuses[0]
	if len(c.statuses) > 1 {
		c.statuses = c.statuses[1:]
	}
	return status, nil
}

func (c *stubCloud) Kubeconfig(context.Context, *stack.Cluster) ([]byte, error) {
	if c.kubeconfig == "" {
		return nil, errors.New("there is no kubeconfig")
	}
	return []byte(c.kubeconfig), nil
}

// session is a run of the program in a folder of its own.
type session struct {
	folder    string
	stdin     string
	terminals terminals
	env       map[string]string
	cloud     stack.Cloud
	// login replaces the account that connects to cloud.
	login func() (*account, error)
}

func newSession(t testing.TB, config string) *session {
	t.Helper()
	s := &session{folder: t.TempDir(), env: map[string]string{}}
	s.write(t, "egress.yaml", config)
	return s
}

func (s *session) path(name string) string { return filepath.Join(s.folder, name) }

func (s *session) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *session) read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// outcomes is the result of a run.
type outcomes struct {
	code           int
	stdout, stderr string
}

// run runs the program with the egress.yaml of the folder.
func (s *session) run(ctx context.Context, args ...string) outcomes {
	var stdout, stderr bytes.Buffer
	login := s.login
	if login == nil {
		login = func() (*account, error) {
			connect := func(context.Context, stack.Spec) (stack.Cloud, error) { return s.cloud, nil }
			return &account{project, connect}, nil
		}
	}
	err := run(ctx, environment{
		args:  append(args, "--config", s.path("egress.yaml")),
		stdin: strings.NewReader(s.stdin), stdout: &stdout, stderr: &stderr,
		terminals:      s.terminals,
		getenv:         func(name string) string { return s.env[name] },
		login:          login,
		statusPatience: 50 * time.Millisecond,
		checkPlaces: func(spec stack.Spec) error {
			if spec.Zone == "fr-par-9" {
				return errors.New("spec.zone: there is no zone fr-par-9")
			}
			return nil
		},
	})
	code := exitCode(&stderr, err)
	clean := strings.NewReplacer(s.folder+"/", "")
	return outcomes{code, clean.Replace(stdout.String()), clean.Replace(stderr.String())}
}
