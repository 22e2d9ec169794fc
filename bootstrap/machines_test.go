package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

// newCertificate returns a certificate in PEM.
func newCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// indented is a text as a block of YAML below spec.proxy.
func indented(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
}

// withIdentity is baseConfig with sidecars, and with an authority unless it is empty.
func withIdentity(t *testing.T, authority string) string {
	t.Helper()
	text := "  proxy:\n    identity: Offered\n"
	if authority != "" {
		text += "    authority: |\n      " + indented(authority) + "\n"
	}
	return replaced(t, "  proxy:\n", text)
}

// reported returns a status that the machine of a stack would write.
func reported(t *testing.T, graph *stack.Graph, change func(*cloudinit.Status)) []byte {
	t.Helper()
	return reportedBy(t, graph.Proxies[0], change)
}

func reportedBy(t *testing.T, proxy *stack.ProxyMachine, change func(*cloudinit.Status)) []byte {
	t.Helper()
	value, err := proxy.SquidConfValue()
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC)
	status := cloudinit.Status{Time: since, Boot: since, Squid: "6.13", Certificate: newCertificate(t), Served: cloudinit.Digest(value), Since: since}
	if change != nil {
		change(&status)
	}
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestValuesOfMachines: apply writes the certificate of the machine into the values. It
// waits for a machine that has not reported yet, and warns if it does not.
func TestValuesOfMachines(t *testing.T) {
	text := withIdentity(t, newCertificate(t))
	graph, observed := made(t, newSpec(t, text))
	status := reported(t, graph, nil)
	var want cloudinit.Status
	if err := json.Unmarshal(status, &want); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		statuses [][]byte
		machines []machineValues
		warns    bool
	}{
		"reported":       {[][]byte{status}, []machineValues{{"172.16.28.8", want.Certificate}}, false},
		"later":          {[][]byte{nil, status}, []machineValues{{"172.16.28.8", want.Certificate}}, false},
		"not reported":   {nil, nil, true},
		"no certificate": {[][]byte{reported(t, graph, func(s *cloudinit.Status) { s.Certificate = "" })}, nil, true},
		"nonsense":       {[][]byte{[]byte("nonsense")}, nil, true},
	} {
		s := newSession(t, text)
		s.cloud = &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test"), statuses: test.statuses}
		got := s.run(t.Context(), "apply", "--yes")
		if got.code != 0 || strings.Contains(got.stderr, "warning: within 50ms, proxy (172.16.28.8) did not report to serve the configuration") != test.warns {
			t.Errorf("%s: exit code %d, %s", name, got.code, got.stderr)
		}
		var values chartValues
		if err := yaml.UnmarshalStrict([]byte(s.read(t, "values.yaml")), &values); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.machines, values.Proxy.Machines); diff != "" || values.Proxy.Identity != cloudinit.IdentityOffered {
			t.Errorf("%s: identity %s, machines, -want +got:\n%s", name, values.Proxy.Identity, diff)
		}
	}
}

// TestApplyWaits: apply returns when the machine serves what was sent. A refusal is an
// error with the machine's reason, and the files are written all the same.
func TestApplyWaits(t *testing.T) {
	text := baseConfig
	graph, observed := made(t, newSpec(t, text))
	live := reported(t, graph, nil)
	former := reported(t, graph, func(s *cloudinit.Status) { s.Served = "x" })
	refused := reported(t, graph, func(s *cloudinit.Status) {
		s.Served, s.Refused, s.Reason = "x", s.Served, "squid -k parse: exit status 1"
	})
	const waiting = "waiting until the configuration is served by proxy (172.16.28.8)"
	for name, test := range map[string]struct {
		statuses [][]byte
		args     []string
		code     int
		want     []string
		waits    bool
	}{
		"live":            {[][]byte{live}, nil, 0, []string{"6.13   live since"}, false},
		"live later":      {[][]byte{former, live}, nil, 0, []string{"6.13   live since"}, true},
		"former":          {[][]byte{former}, nil, 0, []string{"warning: within 50ms", "bootstrap status"}, true},
		"without waiting": {[][]byte{former}, []string{"--wait=false"}, 0, []string{"the new squid.conf was not live"}, false},
		"refused": {[][]byte{former, refused}, nil, 1, []string{
			"proxy (172.16.28.8) refuses its configuration, and serves the former one: squid -k parse: exit status 1", "values.yaml", "To continue",
		}, true},
	} {
		s := newSession(t, text)
		s.cloud = &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test"), statuses: test.statuses}
		got := s.run(t.Context(), append([]string{"apply", "--yes"}, test.args...)...)
		if got.code != test.code || strings.Contains(got.stderr, waiting) != test.waits {
			t.Errorf("%s: exit code %d, waits: want %v\n%s", name, got.code, test.waits, got.stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("%s: no %q in\n%s%s", name, want, got.stdout, got.stderr)
			}
		}
		if !strings.Contains(s.read(t, "values.yaml"), "172.16.28.8") {
			t.Errorf("%s: no values", name)
		}
	}
}

// TestKnownHosts: status has the lines of a known_hosts file, by which the first SSH to a
// machine is to this machine.
func TestKnownHosts(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	graph, observed := made(t, newSpec(t, baseConfig))
	s := newSession(t, baseConfig)
	s.cloud = &stubCloud{observed: observed, statuses: [][]byte{reported(t, graph, func(s *cloudinit.Status) { s.HostKeys = []string{key} })}}
	var document statusDocument
	if err := json.Unmarshal([]byte(require(t, exitDone, s.run(t.Context(), "status", "-o", "json")).stdout), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Addresses.Shared) != 1 {
		t.Fatalf("the shared addresses are %q", document.Addresses.Shared)
	}
	want := []string{document.Addresses.Shared[0] + " " + key}
	if !slices.Equal(document.Machines[0].KnownHosts, want) {
		t.Errorf("%q, want %q", document.Machines[0].KnownHosts, want)
	}
}

// TestKnownHostsFile: apply writes the keys of the machines that have reported some, each
// at its own address, and keeps a file of somebody else.
func TestKnownHostsFile(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	keys := func(s *cloudinit.Status) { s.HostKeys = []string{key} }
	text := replaced(t, twoMachines()...)
	graph, observed := made(t, newSpec(t, text))
	first, second := graph.Proxies[0].Addresses[0].Address.String(), graph.Proxies[1].Addresses[0].Address.String()
	s := newSession(t, text)
	for name, c := range map[string]struct {
		withKeys []bool
		want     []string
	}{
		"both":  {[]bool{true, true}, []string{first + " " + key, second + " " + key}},
		"one":   {[]bool{false, true}, []string{second + " " + key}},
		"again": {[]bool{true, true}, []string{first + " " + key, second + " " + key}},
	} {
		s.cloud = &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test"), ofMachine: func(role string) []byte {
			for i, proxy := range graph.Proxies {
				if proxy.Role == role && c.withKeys[i] {
					return reportedBy(t, proxy, keys)
				}
			}
			return nil
		}}
		got := require(t, exitDone, s.run(t.Context(), "apply", "--yes"))
		lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(s.read(t, "known_hosts")), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
		if !slices.Equal(lines, c.want) || !strings.Contains(got.stdout, "known_hosts") {
			t.Errorf("%s: %q, want %q", name, lines, c.want)
		}
	}

	s.cloud = &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test")}
	before := s.read(t, "known_hosts")
	require(t, exitDone, s.run(t.Context(), "apply", "--yes"))
	if s.read(t, "known_hosts") != before {
		t.Error("without a report, the file has changed")
	}
	s.write(t, "known_hosts", "203.0.113.1 ssh-ed25519 theirs\n")
	got := require(t, exitFailed, s.run(t.Context(), "apply", "--yes"))
	if !strings.Contains(got.stderr, "spec.outputs.knownHosts: known_hosts: was not written by bootstrap") {
		t.Errorf("somebody else's file: %s", got.stderr)
	}
}

// TestNoKnownHostsWithoutSSH: no file is written, and one that exists is no obstacle.
func TestNoKnownHostsWithoutSSH(t *testing.T) {
	text := replaced(t, "\n    sshSources: [192.0.2.0/24]", "")
	graph, observed := made(t, newSpec(t, text))
	s := newSession(t, text)
	s.cloud = &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test"), statuses: [][]byte{reported(t, graph, nil)}}
	s.write(t, "known_hosts", "theirs")
	require(t, exitDone, s.run(t.Context(), "apply", "--yes"))
	if s.read(t, "known_hosts") != "theirs" {
		t.Error("the file has changed")
	}
}

// TestApplyWaitsForEveryMachine: the machines that do not serve yet are named.
func TestApplyWaitsForEveryMachine(t *testing.T) {
	text := replaced(t, twoMachines()...)
	graph, observed := made(t, newSpec(t, text))
	s := newSession(t, text)
	s.cloud = &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test"), ofMachine: func(role string) []byte {
		if role == "proxy-2" {
			return nil
		}
		return reportedBy(t, graph.Proxies[0], nil)
	}}
	got := require(t, exitDone, s.run(t.Context(), "apply", "--yes"))
	if !strings.Contains(got.stderr, "proxy-2 (172.16.28.9) did not report to serve the configuration") {
		t.Errorf("the warning is missing: %s", got.stderr)
	}
	status := require(t, exitDone, s.run(t.Context(), "status"))
	for _, want := range []string{"proxy    172.16.28.8  6.13   live since", "proxy-2  172.16.28.9  -      not reported"} {
		if !strings.Contains(status.stdout, want) {
			t.Errorf("no %q in\n%s", want, status.stdout)
		}
	}
}

// TestPlanShowsMachines: the JSON form of a plan has the machines as that of the status
// has them, also those that have not reported or do not exist. A report that cannot be read
// is an error beside the plan.
func TestPlanShowsMachines(t *testing.T) {
	text := replaced(t, twoMachines()...)
	graph, observed := made(t, newSpec(t, text))
	s := newSession(t, text)
	cloud := &stubCloud{observed: observed, ofMachine: func(role string) []byte {
		if role == "proxy-2" {
			return nil
		}
		return reportedBy(t, graph.Proxies[0], nil)
	}}
	s.cloud = cloud
	machinesOf := func(code int, command string) (machines []machineStatus) {
		t.Helper()
		document := struct{ Machines *[]machineStatus }{&machines}
		if err := json.Unmarshal([]byte(require(t, code, s.run(t.Context(), command, "--output", "json")).stdout), &document); err != nil {
			t.Fatal(err)
		}
		return machines
	}
	ofPlan := machinesOf(exitDone, "plan")
	if diff := cmp.Diff(machinesOf(exitDone, "status"), ofPlan, cmp.AllowUnexported(machineStatus{}), cmpopts.IgnoreFields(cloudinit.Status{}, "Certificate")); diff != "" {
		t.Errorf("-status +plan\n%s", diff)
	}
	if len(ofPlan) != 2 || !ofPlan[0].Live || ofPlan[0].Status.Squid != "6.13" || ofPlan[1].Live || ofPlan[1].Address != "172.16.28.9" {
		t.Errorf("the machines are %+v", ofPlan)
	}

	s.write(t, "egress.yaml", replaced(t, append(twoMachines(), "port: 3129", "port: 3131")...))
	if changed := machinesOf(exitChanges, "plan"); changed[0].Live || changed[0].Status == nil {
		t.Errorf("a machine that does not serve the new port: %+v", changed[0])
	}
	s.cloud = &stubCloud{observed: &stack.Observed{}}
	if absent := machinesOf(exitChanges, "plan"); len(absent) != 2 || absent[0].Status != nil || absent[0].Role != "proxy" {
		t.Errorf("machines that do not exist: %+v", absent)
	}
	s.cloud = &unreadable{cloud}
	got := require(t, exitFailed, s.run(t.Context(), "plan", "--output", "json"))
	if !strings.Contains(got.stderr, "proxy-2 is silent") || !strings.Contains(got.stdout, `"steps"`) {
		t.Errorf("a report that cannot be read: %s%s", got.stdout, got.stderr)
	}
	require(t, exitChanges, s.run(t.Context(), "plan")) // the table does without the reports
}

// unreadable is a cloud whose machines' reports cannot be read.
type unreadable struct{ *stubCloud }

func (unreadable) MachineStatus(_ context.Context, server *stack.Server) ([]byte, error) {
	return nil, errors.New(server.Role + " is silent")
}

// TestRequestsOfAPlanOfFourMachines: a plan with the reports of four machines, and nothing
// to do, needs at most 30 requests.
func TestRequestsOfAPlanOfFourMachines(t *testing.T) {
	t.Parallel()
	s := newSite(t, replaced(t, "privateIP: 172.16.28.8", "replicas: 4\n    privateIPs: [172.16.28.8, 172.16.28.9, 172.16.28.10, 172.16.28.11]"), scwfake.Options{})
	s.mustRun(t, "apply", "--yes")
	for output, more := range map[string]int{"table": 0, "json": 4} {
		s.ResetCount()
		s.mustRun(t, "plan", "--output", output)
		if got, most := s.Requests(), 26+more; got > most {
			t.Errorf("%s: %d requests, want at most %d: %v", output, got, most, s.Calls())
		}
	}
}

// TestReplacementStopsAtASilentMachine: a machine that does not report that it serves, or
// has not reported for a long time, is not followed by the replacement of the next one.
// Without waiting it is.
func TestReplacementStopsAtASilentMachine(t *testing.T) {
	text := replaced(t, append(twoMachines(), "proxy:\n", "proxy:\n    type: PLAY2-MICRO\n")...)
	graph, observed := made(t, newSpec(t, replaced(t, twoMachines()...)))
	fresh := func(s *cloudinit.Status) { s.Time = time.Now() }
	for name, c := range map[string]struct {
		change func(*cloudinit.Status)
		silent bool
		args   []string
		want   string
	}{
		"serves":       {change: fresh},
		"silent":       {silent: true, want: "the machine is not replaced, because proxy (172.16.28.8) does not report that it serves its configuration: see bootstrap status"},
		"stale":        {want: "proxy (172.16.28.8), which has not reported since 2026-11-29T02:00:00Z does not report"},
		"refuses":      {change: func(s *cloudinit.Status) { s.Time, s.Refused, s.Served, s.Reason = time.Now(), s.Served, "x", "FATAL" }, want: "refuses its configuration, and serves the former one: FATAL"},
		"no waiting":   {silent: true, args: []string{"--wait=false"}},
		"former state": {change: func(s *cloudinit.Status) { s.Time, s.Served = time.Now(), "x" }, want: "to replace the machine all the same, add --wait=false"},
	} {
		var changed []string
		s := newSession(t, text)
		cloud := &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test")}
		cloud.ofMachine = func(role string) []byte {
			for _, proxy := range graph.Proxies {
				if proxy.Role == role && !c.silent {
					return reportedBy(t, proxy, c.change)
				}
			}
			return nil
		}
		var mutex sync.Mutex
		cloud.create = func(_ context.Context, r stack.Resource) error {
			mutex.Lock()
			defer mutex.Unlock()
			if server, ok := r.(*stack.Server); ok {
				changed = append(changed, server.Role+" "+server.Type)
				if server.ID == "" { // otherwise it is deleted
					server.ID = "made"
				}
			}
			return nil
		}
		s.cloud = cloud
		got := s.run(t.Context(), append([]string{"apply", "--yes", "--allow-replace"}, c.args...)...)
		all := []string{"proxy PLAY2-NANO", "proxy PLAY2-MICRO", "proxy-2 PLAY2-NANO", "proxy-2 PLAY2-MICRO"}
		want, code := all, exitDone
		if c.want != "" {
			want, code = all[:2], exitFailed
		}
		if got.code != code || !slices.Equal(changed, want) || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit code %d, %q, want %q\n%s", name, got.code, changed, want, got.stderr)
		}
	}
}

// TestStatusShowsMachines: status shows whether the machine serves the squid.conf in
// its user data, and why not.
func TestStatusShowsMachines(t *testing.T) {
	text := withIdentity(t, newCertificate(t))
	graph, observed := made(t, newSpec(t, text))
	for want, status := range map[string][]byte{
		"not reported":                           nil,
		"6.13   live since 2026-11-29T02:00:00Z": reported(t, graph, nil),
		"6.13   refused: not base64":             reported(t, graph, func(s *cloudinit.Status) { s.Refused, s.Reason = "x", "not base64" }),
		"6.13   the new squid.conf was not live at 2026-11-29T02:00:00Z": reported(t, graph, func(s *cloudinit.Status) { s.Served = "x" }),
		"6.13   drained, with 14 open connections":                       reported(t, graph, func(s *cloudinit.Status) { s.Served, s.Connections = "x", new(14) }),
		"cannot be parsed": []byte("nonsense"),
	} {
		s := newSession(t, text)
		s.cloud = &stubCloud{observed: observed, statuses: [][]byte{status}}
		got := s.run(t.Context(), "status")
		if got.code != 0 || !strings.Contains(got.stdout, "172.16.28.8") || !strings.Contains(got.stdout, want) {
			t.Errorf("exit code %d, no %q in:\n%s%s", got.code, want, got.stdout, got.stderr)
		}
	}
}

// TestAuthorityIsInThePlan: the authority that a cluster has published is a change of
// the squid.conf. Before there is a cluster, none is asked.
func TestAuthorityIsInThePlan(t *testing.T) {
	authority := newCertificate(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"ca.crt": authority}})
	}))
	defer server.Close()
	text := withIdentity(t, "")
	_, observed := made(t, newSpec(t, text))
	for name, test := range map[string]struct {
		cloud *stubCloud
		code  int
		want  string
	}{
		"nothing exists": {&stubCloud{observed: &stack.Observed{}}, 2, "20 to create, 0 to change"},
		"published":      {&stubCloud{observed: observed, kubeconfig: kubeconfigOf(server.URL)}, 2, "0 to create, 1 to change, 0 to replace, 0 to delete\n\n  ~   user-data/proxy/squid-conf  egress-production-proxy\n        text: 0 lines removed, 1 lines added"},
		"cannot be read": {&stubCloud{observed: observed, kubeconfig: kubeconfigOf("http://127.0.0.1:1")}, 1, "connection refused"},
	} {
		s := newSession(t, text)
		s.cloud = test.cloud
		got := s.run(t.Context(), "plan")
		if got.code != test.code || !strings.Contains(got.stdout+got.stderr, test.want) {
			t.Errorf("%s: exit code %d, no %q in:\n%s%s", name, got.code, test.want, got.stdout, got.stderr)
		}
	}
}

func kubeconfigOf(server string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts: [{name: test, context: {cluster: test, user: test}}]\nclusters: [{name: test, cluster: {server: %q}}]\nusers: [{name: test, user: {token: test}}]\n", server)
}

// cloudOfKubeconfig is a cloud that is asked for the kubeconfig only.
type cloudOfKubeconfig struct {
	stack.Cloud

	kubeconfig string
}

func (c cloudOfKubeconfig) Kubeconfig(context.Context, *stack.Cluster) ([]byte, error) {
	if c.kubeconfig == "" {
		return nil, errors.New("the kubeconfig is requested")
	}
	return []byte(c.kubeconfig), nil
}

// TestAuthorityOfTheCluster: the authority comes from the cluster, wherever bootstrap
// runs. A cluster that does not answer is an error, because the proxy would close its
// port without the authority.
func TestAuthorityOfTheCluster(t *testing.T) {
	authority := newCertificate(t)
	answers := map[string]string{"right": authority, "wrong": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cluster, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		answer, ok := answers[cluster]
		switch {
		case cluster == "denied":
			w.WriteHeader(http.StatusForbidden)
		case !ok || path != "api/v1/namespaces/egress-system/configmaps/egress-sidecar-ca":
			http.NotFound(w, r)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"ca.crt": answer}})
		}
	}))
	defer server.Close()
	ready := &stack.Cluster{ResourceMeta: stack.ResourceMeta{Name: "egress-test"}, Status: "ready"}
	for name, test := range map[string]struct {
		cluster                   *stack.Cluster
		kubeconfig, want, problem string
	}{
		"from the cluster": {ready, kubeconfigOf(server.URL + "/right"), authority, ""},
		"no cluster yet":   {nil, "", "", ""},
		"not ready":        {&stack.Cluster{Status: "creating"}, "", "", ""},
		"no kubeconfig":    {ready, "", "", "the kubeconfig is requested"},
		"no chart yet":     {ready, kubeconfigOf(server.URL + "/none"), "", ""},
		"no rights":        {ready, kubeconfigOf(server.URL + "/denied"), "", "cluster egress-test: the API server answers 403 Forbidden; if the cluster cannot be reached from here, set spec.proxy.authority"},
		"no answer":        {ready, kubeconfigOf("http://127.0.0.1:1"), "", "connection refused"},
		"a key":            {ready, kubeconfigOf(server.URL + "/wrong"), "", "ca.crt of the ConfigMap egress-sidecar-ca: must contain only certificates"},
		"not a kubeconfig": {ready, "nonsense", "", "its kubeconfig from Scaleway is invalid"},
	} {
		target := &target{cloud: cloudOfKubeconfig{kubeconfig: test.kubeconfig}}
		err := target.readAuthority(t.Context(), test.cluster)
		if message := fmt.Sprint(err); target.spec.Proxy.Authority != test.want || (test.problem == "") != (err == nil) || !strings.Contains(message, test.problem) {
			t.Errorf("%s: %q, %v, want %q", name, target.spec.Proxy.Authority, err, test.problem)
		}
	}
}
