package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/cloudinit"
	"egress.scw/hack/local/programs"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	watchAccount = names.ChartName + "-watch"
	watchToken   = "11111111-2222-4333-8444-555555555555"
	watchConfig  = `apiVersion: egress.scw/v1alpha1
kind: Egress
metadata: {name: watched}
spec:
  zone: fr-par-1
  network: {cidr: 172.16.28.0/22}
  proxy: {privateIP: 172.16.28.8}
  cluster: {cidrs: [10.96.0.0/12]}
`
)

// watchedStack is a stack at a fake API of Scaleway, and bootstrap watch with the rights
// of the chart.
type watchedStack struct {
	*scwfake.API

	url, dir, binary string
	metrics          string
}

// TestWatch: bootstrap watch, with the rights that the chart gives it, brings an
// EgressTenant that kubectl changes to the machine, makes a machine again that is gone,
// attaches an address again, and tells it.
func TestWatch(t *testing.T) {
	const name = "watched-tenant"
	s := newWatchedStack(t)
	s.bootstrap(t, "apply", "--yes", "--wait=false")
	applyTenant(t, name, "first.example.com")
	stop := s.watch(t)

	s.eventually(t, "the list of the tenant", func() bool { return strings.Contains(s.squidConf(t), "first.example.com") })
	begin := time.Now()
	patch := `{"spec": {"allow": {"domains": ["second.example.com"]}}}`
	if _, err := shared.cluster.Kubectl(t.Context(), nil, "patch", "egresstenant", name, "--type=merge", "--patch="+patch); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "the changed list", func() bool { return strings.Contains(s.squidConf(t), "second.example.com") })
	t.Logf("a changed list is in the user data of the machine after %s", time.Since(begin).Round(10*time.Millisecond))

	address := s.item("flexible-ip")
	s.call(t, http.MethodPatch, "/ips/"+address.ID, `{"server": null}`)
	s.eventually(t, "the address to be attached again", func() bool { return s.item("flexible-ip").Parent != "" })
	lost := s.item("server")
	s.call(t, http.MethodPost, "/servers/"+lost.ID+"/action", `{"action": "terminate"}`)
	s.eventually(t, "another machine with the list", func() bool {
		found := s.item("server")
		return found.ID != "" && found.ID != lost.ID && strings.Contains(s.squidConf(t), "second.example.com")
	})
	if again := s.item("flexible-ip"); again.ID != address.ID {
		t.Errorf("the machine has the address %s, had %s", again, address)
	}
	s.requireReports(t)
	stop()
	var lease coordinationv1.Lease
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: names.WatchLease}, &lease); err != nil || *lease.Spec.HolderIdentity != "" {
		t.Errorf("the Lease was not given back: %v, %v", lease.Spec, err)
	}
}

// requireReports requires events, the values of the chart, and metrics.
func (s *watchedStack) requireReports(t *testing.T) {
	t.Helper()
	for _, want := range []names.Reason{names.ReasonApplied, names.ReasonVolumeKept, names.ReasonValuesOutdated} {
		eventually(t, "an event "+string(want), func(ctx context.Context) (bool, string) {
			var events corev1.EventList
			if err := shared.client.List(ctx, &events, client.InNamespace(releaseNamespace)); err != nil {
				return false, err.Error()
			}
			return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
				return e.InvolvedObject.Name == names.WatchLease && e.Reason == string(want)
			}), fmt.Sprint(len(events.Items), " events")
		})
	}
	var values corev1.ConfigMap
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: names.ValuesConfigMap}, &values); err != nil {
		t.Error(err)
	}
	if text := values.Data[names.ValuesKey]; !strings.Contains(text, "172.16.28.8") || strings.Contains(text, "tenants") {
		t.Errorf("the values are\n%s", text)
	}
	// The watcher counts after it has acted.
	eventually(t, "the metrics", func(context.Context) (bool, string) {
		text := s.get(t, s.metrics) //nolint:contextcheck // it has the context of the test
		for _, want := range []string{names.MetricPlans + `{result="applied"}`, names.MetricChanges + `{action="create",kind="server"} 1`, names.MetricValuesOutdated + " 1"} {
			if !strings.Contains(text, want) {
				return false, "they lack " + want + ":\n" + text
			}
		}
		return true, ""
	})
}

func newWatchedStack(t *testing.T) *watchedStack {
	t.Helper()
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &watchedStack{API: scwfake.New(scwfake.Options{Token: watchToken, AccessKey: "SCWXXXXXXXXXXXXXXXXX"}), dir: t.TempDir()}
	server := httptest.NewServer(s.API)
	t.Cleanup(func() {
		s.Close()
		server.CloseClientConnections()
		server.Close()
	})
	s.url = server.URL
	if s.binary, err = builder.Build(t.Context(), programs.Bootstrap()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "egress.yaml"), []byte(watchConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s.grant(t)
	return s
}

// grant gives the rights of the chart to its ServiceAccount.
func (s *watchedStack) grant(t *testing.T) {
	t.Helper()
	release := shared.webhook.release
	release.Values = maps.Clone(release.Values)
	release.Values["watch"] = map[string]any{
		"enabled": true, "config": map[string]any{"configMap": "egress-config"}, "credentials": "egress-bootstrap",
	}
	manifests, err := release.Template(t.Context(), "v1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	granted := 0
	for _, object := range decoded(t, []byte(manifests)) {
		if !strings.HasPrefix(object.GetName(), watchAccount) || slices.Contains([]string{"Deployment", "NetworkPolicy"}, object.GetKind()) {
			continue
		}
		granted++
		if err := shared.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = shared.client.Delete(context.WithoutCancel(t.Context()), object) })
	}
	if granted != 7 {
		t.Fatalf("the chart has %d objects of the watcher's rights, not 7", granted)
	}
	t.Cleanup(func() {
		for _, object := range []client.Object{
			&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: releaseNamespace, Name: names.WatchLease}},
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: releaseNamespace, Name: names.ValuesConfigMap}},
		} {
			_ = shared.client.Delete(context.WithoutCancel(t.Context()), object)
		}
	})
	if err := writeServiceAccountKubeconfig(t.Context(), shared.cluster, watchAccount, filepath.Join(s.dir, "cluster.kubeconfig")); err != nil {
		t.Fatal(err)
	}
}

// applyTenant creates an EgressTenant on a port that no other test uses.
func applyTenant(t *testing.T, name, domain string) {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: name}}
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3251}
	tenant.Spec.Allow = &v1alpha1.AllowSpec{Domains: []string{domain}}
	if err := shared.client.Create(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = shared.client.Delete(ctx, tenant)
		_ = shared.client.Patch(ctx, tenant, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`)))
	})
}

func (s *watchedStack) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		"HOME=" + s.dir, "SCW_API_URL=" + s.url, "SCW_DEFAULT_PROJECT_ID=" + scwfake.DefaultProjectID,
		"SCW_ACCESS_KEY=SCWXXXXXXXXXXXXXXXXX", "SCW_SECRET_KEY=" + watchToken,
		"KUBECONFIG=" + filepath.Join(s.dir, "cluster.kubeconfig"), "POD_NAME=watcher",
	}
	return cmd
}

func (s *watchedStack) bootstrap(t *testing.T, args ...string) {
	t.Helper()
	if out, err := s.command(t.Context(), args...).CombinedOutput(); err != nil {
		t.Fatalf("bootstrap %v: %v\n%s", args, err, out)
	}
}

// watch starts a watcher, and returns a function that requires its regular end. It ends
// with the test too.
func (s *watchedStack) watch(t *testing.T) (stop func()) {
	t.Helper()
	port, err := shared.cluster.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	s.metrics = "http://" + address + "/metrics"
	cmd := s.command(t.Context(), "watch", "--interval=10s", "--listen="+address, "--listen-health=")
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the log of the watcher:\n%s", text)
		}
	})
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("bootstrap watch: %v", err)
			}
		case <-time.After(timeout):
			t.Error("bootstrap watch does not end by SIGTERM")
		}
	}
}

func (s *watchedStack) eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	eventually(t, what, func(context.Context) (bool, string) {
		return reached(), strings.Join(scwfake.Summary(s.Inventory()), "\n")
	})
}

// item returns the only resource of a kind; its ID is empty if there is none.
func (s *watchedStack) item(kind string) scwfake.Item {
	for _, item := range s.Inventory() {
		if item.Kind == kind {
			return item
		}
	}
	return scwfake.Item{}
}

// squidConf returns the squid.conf in the user data of the machine; empty if there is
// none.
func (s *watchedStack) squidConf(t *testing.T) string {
	t.Helper()
	server := s.item("server")
	if server.ID == "" {
		return ""
	}
	value := s.request(t, http.MethodGet, s.url+"/instance/v1/zones/fr-par-1/servers/"+server.ID+"/user_data/"+cloudinit.UserDataSquidConf, "")
	conf, err := cloudinit.DecodeSquidConf(value)
	if err != nil {
		return ""
	}
	return string(conf)
}

// call sends a request to Scaleway's API of Instances, as another client.
func (s *watchedStack) call(t *testing.T, method, path, body string) {
	t.Helper()
	s.request(t, method, s.url+"/instance/v1/zones/fr-par-1"+path, body)
}

func (s *watchedStack) get(t *testing.T, url string) string {
	t.Helper()
	return string(s.request(t, http.MethodGet, url, ""))
}

func (*watchedStack) request(t *testing.T, method, url, body string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", watchToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
