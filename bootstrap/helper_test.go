package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/stack"
)

var update = flag.Bool("update", false, "write the golden files anew")

const project = "11111111-2222-4333-8444-555555555555"

// baseConfig has one of each kind of resource, and several of those of which
// there can be several.
const baseConfig = `apiVersion: egress.scw/v1alpha1
kind: Egress
name: production
zone: fr-par-1
network: {cidr: 172.16.28.0/22}
proxy:
  privateIP: 172.16.28.8
  sshSources: [192.0.2.0/24]
cluster:
  version: "1.34"
  acl: [198.51.100.0/24]
  pools:
    - {name: system, nodeType: PRO2-XXS, size: 2}
    - {name: client-a, tenant: client-a, nodeType: PRO2-XS, autoscaling: {min: 1, max: 3}}
registry: {name: example-production}
tenants:
  - {name: client-a, proxy: {port: 3129}, noProxy: [intranet.example.com]}
  - {name: client-b, proxy: {port: 3130, egressIP: Dedicated}}
`

// replaced is the configuration with old parts replaced by new ones, each of
// which must be there.
func replaced(t testing.TB, oldnew ...string) string {
	t.Helper()
	text := baseConfig
	for pair := range slices.Chunk(oldnew, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("the configuration does not contain %q", pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

func newSpec(t testing.TB, text string) stack.Spec {
	t.Helper()
	egress, err := config.LoadEgress("egress.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := stack.NewSpec(egress, project)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// made is what exists once a configuration has come true: all of it, with IDs
// and addresses.
func made(t testing.TB, spec stack.Spec) (*stack.Graph, *stack.Observed) {
	t.Helper()
	graph, err := stack.Desired(spec)
	if err != nil {
		t.Fatal(err)
	}
	if graph.Proxies[0].Server.CloudInit == nil { // the network is given
		spec.NetworkID, spec.NetworkCIDR = "", netip.MustParsePrefix("172.16.28.0/22")
		ranged, err := stack.Desired(spec)
		if err != nil {
			t.Fatal(err)
		}
		graph.Proxies[0].Server.CloudInit = ranged.Proxies[0].Server.CloudInit
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

// checkGolden compares a text with a golden file.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (go test -update writes it anew), -want +got:\n%s", file, diff)
	}
}

// noStale fails on golden files of a kind for which there is no case.
func noStale(t *testing.T, pattern string, used []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(used, filepath.Base(file)) {
			t.Errorf("%s is stale: there is no case of this name", file)
		}
	}
}

// stubCloud is a Cloud that does what a test says.
type stubCloud struct {
	observed   *stack.Observed
	checked    error
	kubeconfig string
	// create is asked about each resource that is made or changed; nil: all is well.
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
	// account takes the place of one that leads to cloud.
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

// outcomes of a run.
type outcomes struct {
	code           int
	stdout, stderr string
}

// run runs the program on the folder's egress.yaml.
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
		terminals: s.terminals,
		getenv:    func(name string) string { return s.env[name] },
		login:     login,
		checkPlace: func(zone, _ string) error {
			if zone == "fr-par-9" {
				return errors.New("zone: there is no zone fr-par-9")
			}
			return nil
		},
	})
	code := report(&stderr, err)
	clean := strings.NewReplacer(s.folder+"/", "")
	return outcomes{code, clean.Replace(stdout.String()), clean.Replace(stderr.String())}
}
