package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
)

// watchPatience bounds every wait of these tests. A watcher that was refused tries again up to a
// minute later, and after several failures in a row more than a minute later.
const watchPatience = 5 * time.Minute

// watching is bootstrap watch, with the project and the cluster that it works on.
type watching struct {
	*site

	cluster *kubeFake
	// end ends the watcher regularly.
	end    func()
	output *lockedBuffer
	ended  chan struct{}
	code   int
}

// newWatching returns a stack that apply has made, without a watcher.
func newWatching(t *testing.T, config string, options scwfake.Options) *watching {
	t.Helper()
	w := &watching{site: newSite(t, config, options), cluster: newKubeFake(t)}
	w.mustRun(t, "apply", "--yes")
	w.write(t, "cluster.kubeconfig", w.cluster.kubeconfig())
	return w
}

func watchArgs(more []string) []string {
	return append([]string{"watch", "--interval=10s", "--listen=", "--listen-health="}, more...)
}

// start starts a watcher in this process. It ends with the test.
func (w *watching) start(t *testing.T, args ...string) {
	t.Helper()
	env, output := w.environment(watchArgs(args)...)
	env.getenv = func(name string) string { return map[string]string{"POD_NAME": "watcher"}[name] }
	env.kubernetes = func() (*rest.Config, error) {
		return clientcmd.RESTConfigFromKubeConfig([]byte(w.cluster.kubeconfig()))
	}
	ctx, end := context.WithCancel(klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(output)))))
	w.end, w.output = end, output
	w.waitFor(func() int { return exitCode(output, run(ctx, env)) })
	ended := w.ended
	t.Cleanup(func() {
		end()
		<-ended
	})
}

// waitFor sets the exit code when the watcher has ended.
func (w *watching) waitFor(wait func() int) {
	ended := make(chan struct{})
	w.ended = ended
	go func() {
		w.code = wait()
		close(ended)
	}()
}

// process returns a watcher as a process that is not started.
func (w *watching) process(ctx context.Context, args ...string) *exec.Cmd {
	cmd, _ := w.site.process(ctx, watchArgs(args)...)
	cmd.Env = append(cmd.Env, "KUBECONFIG="+filepath.Join(w.dir, "cluster.kubeconfig"), "POD_NAME=watcher")
	w.output = &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = w.output, w.output
	return cmd
}

// startProcess starts a watcher as a process, which SIGTERM ends.
func (w *watching) startProcess(t *testing.T, args ...string) {
	t.Helper()
	cmd := w.process(t.Context(), args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.end = func() { _ = cmd.Process.Signal(syscall.SIGTERM) }
	w.waitFor(func() int {
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	})
}

// stop ends the watcher and requires its regular end.
func (w *watching) stop(t *testing.T) {
	t.Helper()
	w.end()
	select {
	case <-w.ended:
	case <-time.After(watchPatience):
		t.Fatalf("it does not end:\n%s", w.output)
	}
	if w.code != exitDone {
		t.Errorf("exit code %d at its regular end\n%s", w.code, w.output)
	}
}

// until waits for a state.
func (w *watching) until(t *testing.T, state string, reached func() bool) {
	t.Helper()
	deadline := time.Now().Add(watchPatience)
	for !reached() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s\nresources: %v\nevents: %v\n%s", state, scwfake.Summary(w.Inventory()), w.cluster.events(), w.output)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *watching) untilEvent(t *testing.T, text string) {
	t.Helper()
	w.until(t, "an event with "+text, func() bool {
		return slices.ContainsFunc(w.cluster.events(), func(event string) bool { return strings.Contains(event, text) })
	})
}

func (w *watching) untilResources(t *testing.T, want []string) {
	t.Helper()
	w.until(t, "the resources", func() bool { return cmp.Equal(want, scwfake.Summary(w.Inventory())) })
}

// call sends a request to Scaleway's API, as another client. It must succeed.
func (w *watching) call(t *testing.T, method, path, body string) {
	t.Helper()
	if status := w.request(t, method, path, body); status >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %d", method, path, status)
	}
}

// request sends a request, and returns the status of the response.
func (w *watching) request(t *testing.T, method, path, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+"/instance/v1/zones/fr-par-1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", canarySecretKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// items returns the resources of a kind.
func (w *watching) items(kind string) []scwfake.Item {
	return slices.DeleteFunc(w.Inventory(), func(item scwfake.Item) bool { return item.Kind != kind })
}

// machine returns the proxy machine; its ID is empty if there is none. Nodes are servers
// too.
func (w *watching) machine() scwfake.Item { return w.machineNamed("egress-production-proxy") }

func (w *watching) machineNamed(name string) scwfake.Item {
	for _, item := range w.items("server") {
		if item.Name == name {
			return item
		}
	}
	return scwfake.Item{}
}

// address returns the flexible IP with a role; its ID is empty if there is none.
func (w *watching) address(role string) scwfake.Item {
	for _, item := range w.items("flexible-ip") {
		if slices.ContainsFunc(item.Tags, func(tag string) bool { return strings.HasSuffix(tag, role) }) {
			return item
		}
	}
	return scwfake.Item{}
}

// loseMachine terminates the proxy machine.
func (w *watching) loseMachine(t *testing.T) {
	t.Helper()
	server := w.machine()
	w.call(t, http.MethodPost, "/servers/"+server.ID+"/action", `{"action": "terminate"}`)
	w.until(t, "the end of the machine", func() bool {
		// Without latencies, the fake goes on when a resource is looked at.
		return w.request(t, http.MethodGet, "/servers/"+server.ID, "") == http.StatusNotFound
	})
}

// squidConf returns the squid.conf in the user data of the machine.
func (w *watching) squidConf(t *testing.T) string {
	t.Helper()
	conf, err := cloudinit.DecodeSquidConf(w.squidConfValue(t))
	if err != nil {
		return ""
	}
	return string(conf)
}

func (w *watching) squidConfValue(t *testing.T) []byte {
	t.Helper()
	return w.squidConfValueOf(t, w.machine())
}

func (w *watching) squidConfValueOf(t *testing.T, machine scwfake.Item) []byte {
	t.Helper()
	if machine.ID == "" {
		return nil
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		w.server.URL+"/instance/v1/zones/fr-par-1/servers/"+machine.ID+"/user_data/"+cloudinit.UserDataSquidConf, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", canarySecretKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var value bytes.Buffer
	_, _ = value.ReadFrom(response.Body)
	return value.Bytes()
}

// A watcher brings EgressTenants to the machine as they come, change and go, and ends
// by SIGTERM.
func TestWatchCarriesTenants(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.cluster.putTenant(t, "client-a", `{path: Proxy, proxy: {port: 3129}, allow: {domains: [first.example.com]}}`)
	w.startProcess(t, "--interval=1h")
	w.until(t, "the list of an EgressTenant that egress.yaml contains too", func() bool {
		return strings.Contains(w.squidConf(t), "first.example.com")
	})
	w.cluster.putTenant(t, "client-a", `{path: Proxy, proxy: {port: 3129}, allow: {domains: [second.example.com]}}`)
	w.until(t, "the changed list", func() bool {
		conf := w.squidConf(t)
		return strings.Contains(conf, "second.example.com") && !strings.Contains(conf, "first.example.com")
	})

	// A tenant of the cluster alone, with an address of its own.
	before := scwfake.Summary(w.Inventory())
	w.cluster.putTenant(t, "client-n", `{path: Proxy, proxy: {port: 3140, egressIP: Dedicated}}`)
	w.until(t, "the address of a new tenant", func() bool {
		return w.address("tenant/client-n").ID != "" && strings.Contains(w.squidConf(t), "client-n")
	})
	w.untilEvent(t, "Applied: ")

	// Its removal was seen: its address goes with it.
	w.cluster.remove(tenantsPath + "/client-n")
	w.untilResources(t, before)
	if strings.Contains(w.squidConf(t), "client-n") {
		t.Error("the tenant is still served")
	}
	w.stop(t)
	if lease := w.cluster.get("/apis/coordination.k8s.io/v1/namespaces/egress-system/leases/egress-bootstrap"); lease == nil ||
		lease["spec"].(map[string]any)["holderIdentity"] != "" {
		t.Errorf("the Lease was not given back: %v", lease)
	}
	requireNoLeftovers(t, w.dir, "cluster.kubeconfig")
}

// A watcher makes a lost machine again, and attaches an address again, within its
// interval.
func TestWatchRepairs(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	want := scwfake.Summary(w.Inventory())
	shared := w.address("role=shared")
	w.start(t)
	w.untilValues(t)
	w.call(t, http.MethodPatch, "/ips/"+shared.ID, `{"server": null}`)
	w.until(t, "the detached address", func() bool { return w.address("role=shared").Parent != "" })
	w.loseMachine(t)
	w.untilResources(t, withLeftVolume(want))
	if again := w.address("role=shared"); again.ID != shared.ID {
		t.Errorf("the shared address is %s, was %s", again, shared)
	}
	w.untilEvent(t, "server/proxy")
	w.untilEvent(t, "VolumeKept: ")
	w.stop(t)
}

// withLeftVolume adds the volume of a machine that was lost to a summary.
func withLeftVolume(summary []string) []string {
	for i, line := range summary {
		if strings.HasPrefix(line, "volume ") {
			return slices.Insert(slices.Clone(summary), i, strings.Replace(line, "in_use", "available", 1))
		}
	}
	return summary
}

// untilValues waits until the first pass has ended.
func (w *watching) untilValues(t *testing.T) {
	t.Helper()
	w.until(t, "the values of the chart", func() bool {
		return w.cluster.get("/api/v1/namespaces/egress-system/configmaps/"+names.ValuesConfigMap) != nil
	})
}

// A watcher does not do what a person would be asked about, and says so.
func TestWatchIsBlocked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		oldnew []string
		event  string
		permit string
	}{
		{"replacement", []string{"proxy:\n", "proxy:\n    volumeGB: 30\n"}, "needs --allow-replace", ""}, // TestWatchReplacesTheOnlyMachine permits it
		{"deletion", []string{"port: 3130, egressIP: Dedicated", "port: 3130"}, "deletes flexible-ip/tenant/client-b", "--allow-delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWatching(t, baseConfig, scwfake.Options{})
			before := w.Inventory()
			if err := os.WriteFile(filepath.Join(w.dir, "egress.yaml"), []byte(replaced(t, c.oldnew...)), 0o600); err != nil {
				t.Fatal(err)
			}
			w.start(t)
			w.untilEvent(t, c.event)
			w.stop(t)
			if diff := cmp.Diff(before, w.Inventory()); diff != "" {
				t.Errorf("resources changed: -before +after\n%s", diff)
			}
			if c.permit != "" {
				w.start(t, c.permit)
				w.untilEvent(t, "Applied: ")
				w.stop(t)
			}
		})
	}
}

// Of two machines, the second one is replaced when the first one serves again.
func TestWatchReplacesOneMachineAtATime(t *testing.T) {
	t.Parallel()
	w := newWatching(t, replaced(t, twoMachines()...), scwfake.Options{})
	former := w.machineNamed("egress-production-proxy-2")
	w.configure(t, replaced(t, append(twoMachines(), "proxy:\n", "proxy:\n    volumeGB: 30\n")...))
	first := w.machine()
	w.start(t, "--allow-replace")
	w.until(t, "the first machine, and the wait for it", func() bool {
		now := w.machine()
		return now.ID != "" && now.ID != first.ID && strings.Contains(w.output.String(), "proxy does not serve its configuration yet")
	})
	if w.machineNamed("egress-production-proxy-2").ID != former.ID {
		t.Error("the second machine is replaced before the first one serves")
	}
	w.until(t, "a squid.conf", func() bool { return w.squidConf(t) != "" })
	w.reportServed(t, w.machine())
	w.untilEvent(t, "Applied: ")
	w.stop(t)
	if now := w.machineNamed("egress-production-proxy-2"); now.ID == "" || now.ID == former.ID {
		t.Errorf("the second machine is %s, was %s", now, former)
	}
}

// reportServed makes a machine report that it serves its squid.conf.
func (w *watching) reportServed(t *testing.T, machine scwfake.Item) {
	t.Helper()
	status, err := json.Marshal(cloudinit.Status{Time: time.Now(), Boot: time.Now(), Served: cloudinit.Digest(w.squidConfValueOf(t, machine)), Since: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetUserData(machine.ID, cloudinit.UserDataStatus, status); err != nil {
		t.Fatal(err)
	}
}

// The only machine is replaced beside a temporary one: each is waited for.
func TestWatchReplacesTheOnlyMachine(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.configure(t, replaced(t, "proxy:\n", "proxy:\n    volumeGB: 30\n"))
	first := w.machine()
	w.start(t)
	w.untilEvent(t, "needs --allow-replace")
	w.stop(t)
	if now := w.machine(); now.ID != first.ID || w.machineNamed("egress-production-proxy-spare").ID != "" {
		t.Errorf("without permission, the machine is %s, was %s", now, first)
	}
	w.start(t, "--allow-replace")
	w.until(t, "the wait for the temporary machine", func() bool {
		return strings.Contains(w.output.String(), "proxy-spare does not serve its configuration yet")
	})
	if now := w.machine(); now.ID != first.ID {
		t.Errorf("before the temporary machine serves, the machine is %s, was %s", now, first)
	}
	w.reportServed(t, w.machineNamed("egress-production-proxy-spare"))
	w.until(t, "the wait for the new machine", func() bool {
		now := w.machine()
		return now.ID != "" && now.ID != first.ID && strings.Contains(w.output.String(), "proxy does not serve its configuration yet")
	})
	w.reportServed(t, w.machine())
	w.untilEvent(t, "Applied: ")
	w.stop(t)
	if spare := w.machineNamed("egress-production-proxy-spare"); spare.ID != "" {
		t.Errorf("the temporary machine still exists: %s", spare)
	}
}

// The removal of an EgressTenant permits nothing while egress.yaml has the tenant: its
// address is deleted by a person.
func TestWatchKeepsTheAddressOfATenantOfEgressYAML(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.cluster.putTenant(t, "client-b", "{path: Proxy, proxy: {port: 3130, egressIP: Dedicated}, allow: {domains: [first.example.com]}}")
	w.start(t)
	w.until(t, "the list", func() bool { return strings.Contains(w.squidConf(t), "first.example.com") })
	w.cluster.remove(tenantsPath + "/client-b")
	w.until(t, "the tenant of egress.yaml", func() bool { return !strings.Contains(w.squidConf(t), "first.example.com") })
	w.configure(t, replaced(t, "port: 3130, egressIP: Dedicated", "port: 3130"))
	w.untilEvent(t, "PlanBlocked: deletes flexible-ip/tenant/client-b")
	w.stop(t)
}

// A stack that does not exist at all is not created: the project may be a wrong one.
func TestWatchCreatesNoStack(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.mustRun(t, "destroy", "--yes")
	w.start(t)
	w.untilEvent(t, "no resource of this stack exists")
	w.stop(t)
	if left := w.Inventory(); len(left) > 0 {
		t.Errorf("it created %v", left)
	}
}

// An egress.yaml with errors is an event, and the watcher goes on with the next one.
func TestWatchSurvivesAnInvalidConfig(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(w.dir, "egress.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(replaced(t, "zone: fr-par-1", "zone: nowhere"))
	w.start(t)
	w.untilEvent(t, "ConfigInvalid: ")
	write(replaced(t, "{port: 3129}", "{port: 3139}"))
	w.until(t, "the new port", func() bool { return strings.Contains(w.squidConf(t), "3139") })
	w.stop(t)
}

// An EgressTenant that is not valid beside the others is left out, and the others go on.
func TestWatchLeavesATenantOut(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.cluster.putTenant(t, "client-x", `{path: Proxy, proxy: {port: 3129}}`)
	w.cluster.putTenant(t, "client-y", `{path: Proxy, proxy: {port: 3141}}`)
	w.start(t)
	w.untilEvent(t, "TenantLeftOut: spec.proxy.port")
	w.until(t, "the other tenant", func() bool { return strings.Contains(w.squidConf(t), "client-y") })
	w.stop(t)
	if strings.Contains(w.squidConf(t), "client-x") {
		t.Error("two tenants have one port")
	}
}

// The authority of the sidecars stays on the machine while the cluster does not publish it:
// without it, the machine would close its port for sidecars.
func TestWatchKeepsTheAuthority(t *testing.T) {
	t.Parallel()
	w := newWatching(t, withIdentity(t, ""), scwfake.Options{})
	const path = "/api/v1/namespaces/egress-system/configmaps/" + names.AuthorityConfigMap
	published := map[string]any{"metadata": map[string]any{}, "data": map[string]any{names.AuthorityKey: newCertificate(t)}}
	w.start(t, "--interval=1h")
	w.untilValues(t) // a stack without an authority is one before the chart
	tenant := func(domain string) {
		w.cluster.putTenant(t, "client-a", "{path: Proxy, proxy: {port: 3129}, allow: {domains: ["+domain+"]}}")
	}
	const line = "\n# authority "
	w.cluster.put(path, published)
	tenant("first.example.com")
	w.until(t, "the authority on the machine", func() bool {
		conf := w.squidConf(t)
		return strings.Contains(conf, line) && strings.Contains(conf, "first.example.com")
	})
	w.cluster.remove(path)
	tenant("second.example.com")
	w.untilEvent(t, "PlanBlocked: ends the service of sidecars by egress-production-proxy")
	if conf := w.squidConf(t); !strings.Contains(conf, line) || strings.Contains(conf, "second.example.com") {
		t.Errorf("squid.conf without the ConfigMap:\n%s", conf)
	}
	w.cluster.put(path, published)
	tenant("third.example.com")
	w.until(t, "the new list", func() bool { return strings.Contains(w.squidConf(t), "third.example.com") })
	w.stop(t)
}

// Without the right to read EgressTenants, a watcher that knows them serves them, goes on
// with repairs, and says that it sees no changes.
func TestWatchSaysThatTenantsAreNotSeen(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.cluster.putTenant(t, "client-n", "{path: Proxy, proxy: {port: 3140}}")
	w.start(t)
	w.until(t, "the tenant", func() bool { return strings.Contains(w.squidConf(t), "client-n") })
	w.cluster.deny(true)
	w.untilEvent(t, "ApplyFailed: changes of EgressTenants are not seen: ")
	w.call(t, http.MethodPatch, "/ips/"+w.address("role=shared").ID, `{"server": null}`)
	w.until(t, "the detached address", func() bool { return w.address("role=shared").Parent != "" })
	if !strings.Contains(w.squidConf(t), "client-n") {
		t.Error("the tenant is not served any more")
	}
	w.cluster.deny(false)
	w.cluster.putTenant(t, "client-o", "{path: Proxy, proxy: {port: 3141}}")
	w.until(t, "a new tenant", func() bool { return strings.Contains(w.squidConf(t), "client-o") })
	w.stop(t)
}

// An EgressTenant that is missing from a new list, after a watch has ended early, costs no
// address: its removal was not seen, and the cluster may have been restored from a backup.
func TestWatchKeepsTheAddressOfAMissingTenant(t *testing.T) {
	t.Parallel()
	w := newWatching(t, baseConfig, scwfake.Options{})
	w.cluster.putTenant(t, "client-n", "{path: Proxy, proxy: {port: 3140, egressIP: Dedicated}}")
	w.start(t)
	w.until(t, "the address", func() bool {
		return w.address("tenant/client-n").Parent != "" && strings.Contains(w.squidConf(t), "client-n")
	})
	address := w.address("tenant/client-n").ID
	w.cluster.deny(true)
	w.untilEvent(t, "ApplyFailed: changes of EgressTenants are not seen: ")
	w.cluster.remove(tenantsPath + "/client-n")
	w.cluster.deny(false)
	w.untilEvent(t, "PlanBlocked: deletes flexible-ip/tenant/client-n")

	// It is there again, and its removal is seen.
	w.cluster.putTenant(t, "client-n", "{path: Proxy, proxy: {port: 3140, egressIP: Dedicated}, allow: {domains: [first.example.com]}}")
	w.until(t, "the tenant", func() bool { return strings.Contains(w.squidConf(t), "first.example.com") })
	if again := w.address("tenant/client-n").ID; again != address {
		t.Errorf("the address is %s, was %s", again, address)
	}
	w.cluster.remove(tenantsPath + "/client-n")
	w.until(t, "the end of the address", func() bool { return w.address("tenant/client-n").ID == "" })
	w.stop(t)
}

// Whenever a watcher is killed while it repairs a lost machine and brings a new tenant,
// the next one reaches the same state.
func TestWatchContinuesAfterSIGKILL(t *testing.T) {
	t.Parallel()
	undisturbed := newWatching(t, baseConfig, scwfake.Options{})
	undisturbed.damage(t)
	undisturbed.ResetCount()
	undisturbed.start(t)
	undisturbed.untilEvent(t, "Applied: ")
	undisturbed.stop(t)
	want, requests := scwfake.Summary(undisturbed.Inventory()), undisturbed.Requests()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%t", after), func(t *testing.T) {
			t.Parallel()
			for position := 1; position <= requests; position++ {
				watchKilled(t, position, after, want)
			}
		})
	}
}

// damage loses the machine, and adds a tenant with an address.
func (w *watching) damage(t *testing.T) {
	t.Helper()
	w.cluster.putTenant(t, "client-n", `{path: Proxy, proxy: {port: 3140, egressIP: Dedicated}}`)
	w.loseMachine(t)
}

func watchKilled(t *testing.T, position int, after bool, want []string) {
	t.Helper()
	shot := &sniper{position: position}
	w := newWatching(t, baseConfig, shot.options(after))
	w.damage(t)
	w.ResetCount()
	ctx, cancel := context.WithTimeout(t.Context(), watchPatience)
	defer cancel()
	if err := shot.runProcess(t, syscall.SIGKILL, w.process(ctx)); err == nil || ctx.Err() != nil {
		t.Fatalf("not killed at request %d: %v\n%s", position, err, w.output)
	}
	w.settled()
	w.start(t)
	w.until(t, fmt.Sprintf("the state, killed at request %d (after: %t)", position, after), func() bool {
		return cmp.Equal(want, scwfake.Summary(w.Inventory())) && strings.Contains(w.squidConf(t), "client-n")
	})
	w.stop(t)
	if t.Failed() {
		t.Fatalf("killed at request %d (after: %t)", position, after)
	}
}
