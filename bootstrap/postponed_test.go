package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/stack"
	"egress.scw/bootstrap/watch"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
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

// TestWatchKeepsTrustedMachines: a watcher with --allow-replace replaces a machine when the
// installed chart has the certificates of those that stay, and makes no other difference.
func TestWatchKeepsTrustedMachines(t *testing.T) {
	text := replaced(t, append(twoMachines(), "proxy:\n", "proxy:\n    identity: Offered\n    authority: |\n      "+indented(newCertificate(t))+"\n")...)
	graph, observed := made(t, newSpec(t, text))
	certificate := newCertificate(t)
	cloud := &stubCloud{observed: observed, ofMachine: func(string) []byte {
		return reportedBy(t, graph.Proxies[1], func(s *cloudinit.Status) { s.Certificate = certificate })
	}}
	for name, c := range map[string]struct {
		settings  map[string]any // nil: there is no chart
		postponed int
	}{
		"trusted":   {map[string]any{"proxy": map[string]any{"machines": []machineValues{{"172.16.28.9", certificate}}}}, 1},
		"made anew": {map[string]any{"proxy": map[string]any{"machines": []machineValues{{"172.16.28.9", newCertificate(t)}}}}, 2},
		"no chart":  {nil, 1},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			settings, err := yaml.Marshal(c.settings)
			if err != nil || c.settings == nil {
				w.WriteHeader(http.StatusNotFound)
				_ = json.NewEncoder(w).Encode(metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
				return
			}
			_ = json.NewEncoder(w).Encode(corev1.ConfigMap{Data: map[string]string{names.SettingsKey: string(settings)}})
		}))
		t.Cleanup(server.Close)
		cluster, err := watch.NewCluster(&rest.Config{Host: server.URL}, chartNamespace)
		if err != nil {
			t.Fatal(err)
		}
		spec := newSpec(t, strings.Replace(text, "proxy:\n", "proxy:\n    type: PLAY2-MICRO\n", 1))
		plan, err := stack.Diff(spec, observed)
		if err != nil {
			t.Fatal(err)
		}
		w := &watcher{program: &program{environment: environment{stderr: io.Discard}}, cluster: cluster}
		got, err := w.keepTrusted(t.Context(), &watchTarget{target: &target{cloud: cloud, spec: spec}}, observed, plan)
		if err != nil || len(got.Postponed) != c.postponed || len(got.Replacements()) != 2-c.postponed {
			t.Errorf("%s: %v, %d replaced and %d postponed, want %d postponed", name, err, len(got.Replacements()), len(got.Postponed), c.postponed)
		}
	}
}
