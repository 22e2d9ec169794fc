package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

// TestApplyPostponesReplacements: with sidecars, apply replaces one of two machines, keeps
// the certificate of the other one in the values, and tells how to continue.
func TestApplyPostponesReplacements(t *testing.T) {
	authority := newCertificate(t)
	withSidecars := append(twoMachines(), "proxy:\n", "proxy:\n    identity: Offered\n    authority: |\n      "+indented(authority)+"\n")
	text := replaced(t, withSidecars...)
	graph, observed := made(t, newSpec(t, text))
	certificates := map[string]string{"proxy": newCertificate(t), "proxy-2": newCertificate(t)}
	var mutex sync.Mutex
	var changed []string
	s := newSession(t, strings.Replace(text, "proxy:\n", "proxy:\n    type: PLAY2-MICRO\n", 1))
	s.cloud = &stubCloud{
		observed: observed, kubeconfig: kubeconfigOf("test"),
		ofMachine: func(role string) []byte {
			for _, proxy := range graph.Proxies {
				if proxy.Role == role {
					return reportedBy(t, proxy, func(s *cloudinit.Status) { s.Time, s.Certificate = time.Now(), certificates[role] })
				}
			}
			return nil
		},
		create: func(_ context.Context, r stack.Resource) error {
			mutex.Lock()
			defer mutex.Unlock()
			if server, ok := r.(*stack.Server); ok {
				changed = append(changed, server.Role)
				if server.ID == "" { // otherwise it is deleted
					server.ID = "made"
				}
			}
			return nil
		},
	}
	planned := require(t, exitChanges, s.run(t.Context(), "plan"))
	if want := "Replaced by the next runs, one each, when sidecars trust the machine before it (upgrade of the chart):\n  server/proxy-2 egress-production-proxy-2\n"; !strings.Contains(planned.stdout, want) {
		t.Errorf("no %q in\n%s", want, planned.stdout)
	}
	got := require(t, exitDone, s.run(t.Context(), "apply", "--yes", "--allow-replace"))
	if strings.Join(changed, " ") != "proxy proxy" { // deleted and created
		t.Errorf("changed are %q", changed)
	}
	for _, want := range []string{"Not replaced yet: proxy-2.\n", "Then, as sidecars trust the new machine: replace proxy-2\n  bootstrap apply --config egress.yaml\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	var values chartValues
	if err := yaml.UnmarshalStrict([]byte(s.read(t, "values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if machines := values.Proxy.Machines; len(machines) != 2 || machines[1].Certificate != certificates["proxy-2"] {
		t.Errorf("the machines in the values are %+v", machines)
	}
	var document applied
	if err := json.Unmarshal([]byte(require(t, exitDone, s.run(t.Context(), "apply", "--yes", "--allow-replace", "-o", "json")).stdout), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Postponed) != 1 || document.Postponed[0] != "proxy-2" {
		t.Errorf("postponed are %q", document.Postponed)
	}
}

// TestTrustedMachines: sidecars trust the certificates that the installed chart has for an
// address.
func TestTrustedMachines(t *testing.T) {
	const settings = "proxy: {machines: [{address: 172.16.28.8, certificate: a}, {address: 172.16.28.9, certificate: b}]}"
	for name, c := range map[string]struct {
		settings, address, certificate string
		want                           bool
	}{
		"known":              {settings, "172.16.28.9", "b", true},
		"made anew":          {settings, "172.16.28.9", "c", false},
		"of another machine": {settings, "172.16.28.9", "a", false},
		"not reported":       {settings, "172.16.28.9", "", false},
		"without machines":   {"proxy: {}", "172.16.28.9", "b", false},
	} {
		machine := machineStatus{Address: c.address, Status: &cloudinit.Status{Certificate: c.certificate}}
		if got, err := isTrusted([]byte(c.settings), machine); err != nil || got != c.want {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if trusted, err := isTrusted([]byte("a: ["), machineStatus{}); err == nil || trusted {
		t.Errorf("settings that cannot be read: %t, %v", trusted, err)
	}
}
