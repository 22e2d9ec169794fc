package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// atFake connects a session to a fake of Scaleway's API, with kubeconfigs in
// the form of Kapsule.
func atFake(t *testing.T, s *session) {
	t.Helper()
	api := scwfake.New(scwfake.Options{Kubeconfig: func(id, name string) ([]byte, error) {
		return []byte(scalewayKubeconfig(name, id)), nil
	}})
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		api.Close()
		server.Close()
	})
	t.Setenv("SCW_CONFIG_PATH", s.path("none"))
	t.Setenv("SCW_ACCESS_KEY", "SCWXXXXXXXXXXXXXXXXX")
	t.Setenv("SCW_SECRET_KEY", "33333333-3333-4333-8333-333333333333")
	t.Setenv("SCW_DEFAULT_PROJECT_ID", scwfake.DefaultProjectID)
	t.Setenv("SCW_API_URL", server.URL)
	s.login = func() (*account, error) {
		credentials, err := scaleway.FindCredentials()
		if err != nil {
			return nil, err
		}
		connect := func(ctx context.Context, spec stack.Spec) (stack.Cloud, error) {
			return scaleway.New(ctx, credentials, spec, scaleway.Options{
				RetryFirst: time.Millisecond, RetryLongest: 5 * time.Millisecond, PollFirst: time.Millisecond, PollLongest: 5 * time.Millisecond,
			})
		}
		return &account{credentials.ProjectID, connect}, nil
	}
}

// require requires an exit code of a run.
func require(t *testing.T, code int, got outcomes) outcomes {
	t.Helper()
	if got.code != code {
		t.Fatalf("exit code %d, want %d\n%s\n%s", got.code, code, got.stdout, got.stderr)
	}
	if strings.Contains(got.stdout+got.stderr, token) {
		t.Fatalf("a secret is printed:\n%s\n%s", got.stdout, got.stderr)
	}
	return got
}

// TestFlow creates, changes and destroys a stack.
func TestFlow(t *testing.T) {
	s := newSession(t, baseConfig)
	atFake(t, s)
	s.write(t, "kubeconfig.yaml", scalewayKubeconfig("other", "two"))

	got := require(t, exitChanges, s.run(t.Context(), "plan"))
	if want := "(spec.outputs)\n  kubeconfig.yaml  credentials of the cluster's administrator\n  values.yaml      values of the chart\n" +
		"  known_hosts      SSH host keys of the proxy, when it has reported them\n"; !strings.HasSuffix(got.stdout, want) {
		t.Errorf("the plan does not end with the files that apply writes:\n%s", got.stdout)
	}
	got = require(t, exitDone, s.run(t.Context(), "--yes"))
	for _, want := range []string{"production at Scaleway matches egress.yaml: 21 steps done", "172.16.28.8", "egress address of client-b", "admin@egress-production", "helm upgrade --install", "Proxy machines"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the output of apply lacks %q:\n%s", want, got.stdout)
		}
	}
	requireMode(t, s.path("kubeconfig.yaml"), modeSecret)
	requireMode(t, s.path("values.yaml"), modePublic)
	kubeconfig, values := s.read(t, "kubeconfig.yaml"), s.read(t, "values.yaml")
	for _, want := range []string{"admin@other", "current-context: admin@egress-production", token} {
		if !strings.Contains(kubeconfig, want) {
			t.Errorf("the kubeconfig lacks %q", want)
		}
	}

	got = require(t, exitDone, s.run(t.Context(), "plan"))
	if got.stdout != "Nothing to do: everything at Scaleway matches egress.yaml.\n" {
		t.Errorf("a second plan is\n%s", got.stdout)
	}
	requireStatus(t, s, 0)

	// Every run writes the files.
	if err := os.Remove(s.path("values.yaml")); err != nil {
		t.Fatal(err)
	}
	requireApplied(t, s)
	if s.read(t, "values.yaml") != values || s.read(t, "kubeconfig.yaml") != kubeconfig {
		t.Error("a second run writes different files")
	}

	s.write(t, "egress.yaml", replaced(t, "port: 3129", "port: 3131"))
	requireStatus(t, s, 1)
	require(t, exitChanges, s.run(t.Context(), "plan"))
	require(t, exitDone, s.run(t.Context(), "apply", "--yes"))
	requireStatus(t, s, 0)

	got = require(t, exitDone, s.run(t.Context(), "destroy", "--yes"))
	if !strings.Contains(got.stdout, "production is destroyed") || !strings.Contains(got.stdout, "values.yaml") {
		t.Errorf("the output of destroy is\n%s", got.stdout)
	}
	got = require(t, exitDone, s.run(t.Context(), "destroy", "--yes", "--output=json"))
	var left destroyed
	if err := json.Unmarshal([]byte(got.stdout), &left); err != nil || left.Summary.Done != 0 || len(left.Left) != 0 || len(left.Files) != 2 {
		t.Errorf("the output of a second destroy is %s (%v)", got.stdout, err)
	}
}

// requireApplied requires a run that finds nothing to do, with JSON output.
func requireApplied(t *testing.T, s *session) {
	t.Helper()
	got := require(t, exitDone, s.run(t.Context(), "apply", "--output=json"))
	var result applied
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatalf("%v in %s", err, got.stdout)
	}
	if result.Name != "production" || result.Summary != (summary{}) || !slices.Equal(result.Addresses.Private, []string{"172.16.28.8"}) || result.Kubeconfig != "" ||
		len(result.Addresses.Shared) != 1 || len(result.Addresses.Dedicated["client-b"]) != 1 || result.Addresses.Gateway == "" ||
		result.Files != (files{Kubeconfig: "kubeconfig.yaml", Context: "admin@egress-production", Values: "values.yaml"}) {
		t.Errorf("the output of apply is %+v", result)
	}
}

// requireStatus requires a number of steps of drift, in both output formats.
func requireStatus(t *testing.T, s *session, drift int) {
	t.Helper()
	got := require(t, exitDone, s.run(t.Context(), "status", "--output=json"))
	var document struct {
		Resources []resourceRow
		Tenants   []tenantRow
		Drift     []json.RawMessage
	}
	if err := json.Unmarshal([]byte(got.stdout), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Drift) != drift || len(document.Resources) != 16 || len(document.Tenants) != 2 {
		t.Errorf("want a drift of %d, got\n%s", drift, got.stdout)
	}
	if stale := document.Tenants[0].Wanted != document.Tenants[0].UserData; stale != (drift > 0) {
		t.Errorf("client-a on the proxy is outdated: %t", stale)
	}
	got = require(t, exitDone, s.run(t.Context(), "status"))
	if differs := strings.Contains(got.stdout, "Differs from egress.yaml"); differs != (drift > 0) {
		t.Errorf("the output of status is\n%s", got.stdout)
	}
}

// TestShownKubeconfig prints a kubeconfig only on request.
func TestShownKubeconfig(t *testing.T) {
	t.Parallel()
	_, observed := made(t, newSpec(t, baseConfig))
	for _, c := range []struct {
		outputs, flags string
		want           bool
	}{
		{"", "--output=json", false},
		{"  outputs: {hideKubeconfig: false}\n", "--output=json", true},
		{"  outputs: {hideKubeconfig: false}\n", "--output=table", false},
	} {
		s := newSession(t, baseConfig+c.outputs)
		s.cloud = &stubCloud{observed: observed, kubeconfig: scalewayKubeconfig("egress-production", "one")}
		got := s.run(t.Context(), c.flags)
		if got.code != exitDone {
			t.Fatalf("exit code %d: %s", got.code, got.stderr)
		}
		if shown := strings.Contains(got.stdout+got.stderr, token); shown != c.want {
			t.Errorf("%+v: the kubeconfig is shown: %t", c, shown)
		}
	}
}

// TestFailure lets some steps of a run fail: all failures are reported, and no
// file is written.
func TestFailure(t *testing.T) {
	t.Parallel()
	for _, output := range outputs() {
		s := newSession(t, baseConfig)
		s.cloud = &stubCloud{observed: &stack.Observed{}, create: func(_ context.Context, r stack.Resource) error {
			switch r.Key().Kind {
			case stack.KindGateway:
				return errors.New("quota")
			case stack.KindRegistry:
				return errors.New("the name is taken")
			default:
				return nil
			}
		}}
		got := s.run(t.Context(), "--yes", "--output", output)
		if got.code != exitFailed {
			t.Errorf("exit code %d", got.code)
		}
		for _, want := range []string{"Error: create gateway (egress-production): quota\n", "Error: create registry (example-production): the name is taken\n"} {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("standard error lacks %q:\n%s", want, got.stderr)
			}
		}
		want := "bootstrap apply --config"
		if output == outputJSON {
			want = `"failed": 2`
		}
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
		if _, err := os.Stat(s.path("values.yaml")); err == nil {
			t.Error("values were written")
		}
	}
}

// TestExisting keeps resources that bootstrap does not manage, and reports them.
func TestExisting(t *testing.T) {
	t.Parallel()
	config := replaced(t, "cidr: 172.16.28.0/22", "id: 22222222-3333-4444-8555-666666666666",
		baseConfig[strings.Index(baseConfig, "    acl:"):strings.Index(baseConfig, "    pools:")], "    id: 33333333-4444-5555-8666-777777777777\n")
	_, observed := made(t, newSpec(t, config))
	s := newSession(t, config)
	s.cloud = &stubCloud{observed: observed, kubeconfig: scalewayKubeconfig("theirs", "one")}
	require := func(got outcomes, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if got.code != exitDone || !strings.Contains(got.stdout, want) {
				t.Errorf("exit code %d, %q is not in\n%s\n%s", got.code, want, got.stdout, got.stderr)
			}
		}
	}
	require(s.run(t.Context(), "apply"), "Nothing to do", "context admin@theirs")
	for _, want := range []string{"10.32.0.0/20", "100.64.0.0/15", "172.16.28.0/22"} {
		if !strings.Contains(s.read(t, "values.yaml"), want) {
			t.Errorf("the values lack %s", want)
		}
	}
	require(s.run(t.Context(), "status"), "(existing)", "Everything at Scaleway matches egress.yaml.")
	require(s.run(t.Context(), "destroy", "--yes"), "production is destroyed", "Kept, because bootstrap does not manage it",
		"private-network  theirs  22222222-3333-4444-8555-666666666666")
}

// TestFlowThroughGateway uses the address of the Public Gateway for requests. The
// proxy has a flexible IP for the metadata service, which is not reported as an
// egress address of tenants.
func TestFlowThroughGateway(t *testing.T) {
	s := newSession(t, replaced(t,
		"    sshSources: [192.0.2.0/24]", "    sourceAddress: Gateway\n    nameServers: [51.159.69.162]", ", egressIP: Dedicated", ""))
	atFake(t, s)
	require(t, exitDone, s.run(t.Context(), "apply", "--yes"))

	var status statusDocument
	got := require(t, exitDone, s.run(t.Context(), "status", "--output=json"))
	if err := json.Unmarshal([]byte(got.stdout), &status); err != nil {
		t.Fatal(err)
	}
	gateway := status.Addresses.Gateway
	if gateway == "" || !slices.Equal(status.Addresses.Shared, []string{gateway}) || len(status.Addresses.Dedicated) > 0 {
		t.Errorf("the addresses are %+v, want the address of the gateway for tenants", status.Addresses)
	}
	for _, tenant := range status.Tenants {
		if !slices.Equal(tenant.Addresses, []string{gateway}) {
			t.Errorf("the egress address of %s is %q, want %s", tenant.Name, tenant.Addresses, gateway)
		}
	}
	if values := s.read(t, "values.yaml"); !strings.Contains(values, "shared:\n    - "+gateway+"\n") {
		t.Errorf("values.yaml does not have %s as the address that tenants share:\n%s", gateway, values)
	}
	var flexible []resourceRow
	for _, row := range status.Resources {
		if row.Kind == stack.KindFlexibleIP {
			flexible = append(flexible, row)
		}
	}
	if len(flexible) != 1 || flexible[0].Role != stack.RoleMetadata || flexible[0].State != "attached" {
		t.Fatalf("the flexible addresses are %+v, not one for the metadata service", flexible)
	}
	if address := flexible[0].Name; strings.Contains(s.read(t, "values.yaml"), address+"\n") {
		t.Errorf("%s is for the metadata service, but is in values.yaml", address)
	}
	if plan := require(t, exitDone, s.run(t.Context(), "plan")).stdout; !strings.HasPrefix(plan, "Nothing to do") {
		t.Errorf("a second plan is\n%s", plan)
	}
	require(t, exitDone, s.run(t.Context(), "destroy", "--yes"))
	require(t, exitChanges, s.run(t.Context(), "plan"))
}
