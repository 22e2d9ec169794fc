package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/hack/local/environment"
	"egress.scw/webhook/api/names"
)

// TestWatchRepairs: a watcher attaches addresses that another client has detached, and
// makes a machine again that another client has deleted. Requests of pods that ran before
// succeed again, from the same addresses, without another command.
func TestWatchRepairs(t *testing.T) {
	requireEnvironment(t)
	w := startRepairing(t)
	restore := sync.OnceFunc(func() { restoreValues(t) })
	t.Cleanup(restore)
	t.Run("shared address", func(t *testing.T) { checkAttached(t, w, namespaceA, "client-a") })
	t.Run("dedicated address", func(t *testing.T) { checkAttached(t, w, namespaceB, "client-b") })
	t.Run("machine", func(t *testing.T) { checkMadeAgain(t, w) })
	w.requireEvent(t, names.ReasonApplied, "server/proxy")
	w.requireEvent(t, names.ReasonVolumeKept, "")
	// Sidecars do not trust the certificate of the new machine yet.
	w.requireEvent(t, names.ReasonValuesOutdated, "proxy.machines")
	restore()
	w.awaitMetric(t, names.MetricValuesOutdated, "0")
	w.stop()
	checkPlan(t, shared.ConfigFile())
}

// repairing is a watcher with a short interval.
type repairing struct {
	stop    func()
	metrics string // the URL
}

// startRepairing starts a watcher. It returns after the first plan.
func startRepairing(t *testing.T) *repairing {
	t.Helper()
	port, err := shared.Cluster.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	w := &repairing{metrics: "http://" + address + "/metrics"}
	w.stop = startWatch(t, "--interval=10s", "--listen="+address)
	w.awaitPlan(t)
	return w
}

// metric returns the value of a metric; empty if there is none.
func (w *repairing) metric(ctx context.Context, name string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.metrics, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(body); found != nil {
		return string(found[1]), err
	}
	return "", err
}

func (w *repairing) awaitMetric(t *testing.T, name, want string) {
	t.Helper()
	eventually(t, name+" to be "+want, func() (bool, string) {
		got, err := w.metric(t.Context(), name)
		return err == nil && got == want, fmt.Sprint(got, err)
	})
}

// awaitPlan waits until a plan has nothing to do, so that the next one is the interval
// away.
func (w *repairing) awaitPlan(t *testing.T) {
	t.Helper()
	const unchanged = names.MetricPlans + `{result="unchanged"}`
	before := ""
	eventually(t, "a plan without a step", func() (bool, string) {
		now, err := w.metric(t.Context(), unchanged)
		if err == nil && before == "" {
			before = now
		}
		return err == nil && now != before, fmt.Sprint(now, err)
	})
}

// changes returns the number of steps that the watcher has carried out.
func (w *repairing) changes(t *testing.T, action, kind string) string {
	t.Helper()
	count, err := w.metric(t.Context(), fmt.Sprintf("%s{action=%q,kind=%q}", names.MetricChanges, action, kind))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// requireEvent requires an event about the watcher.
func (*repairing) requireEvent(t *testing.T, reason names.Reason, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an event %s with %q", reason, text), func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace=egress-system", "get", "events", "--output=json",
			fmt.Sprintf("--field-selector=involvedObject.name=%s,reason=%s", names.WatchLease, reason))
		if err != nil {
			return false, err.Error()
		}
		var events struct{ Items []struct{ Message string } }
		if err := json.Unmarshal([]byte(out), &events); err != nil {
			t.Fatal(err)
		}
		for _, event := range events.Items {
			if strings.Contains(event.Message, text) {
				t.Logf("%s: %s", reason, event.Message)
				return true, ""
			}
		}
		return false, out
	})
}

// checkAttached detaches the address of a tenant, and waits until it is attached again and
// the requests of a pod leave from it.
func checkAttached(t *testing.T, w *repairing, namespace, tenant string) {
	t.Helper()
	api, server := proxyServer(t)
	address := egressAddress(t, tenant)
	awaitServed(t, namespace, tenant)
	requests, done := keepRequesting(t, namespace), w.changes(t, "create", "attachment")
	w.awaitPlan(t)
	begin := time.Now()
	if _, err := api.UpdateIP(&instance.UpdateIPRequest{IP: address, Server: &instance.NullableStringValue{Null: true}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the address of "+tenant+" to be attached again", func() (bool, string) {
		got, err := api.GetIP(&instance.GetIPRequest{IP: address})
		return err == nil && got.IP.Server != nil && got.IP.Server.ID == server.ID, fmt.Sprint(got, err)
	})
	attached := time.Since(begin)
	awaitServed(t, namespace, tenant)
	t.Logf("the address of %s: attached again %s after it was detached, used again after %s; %s",
		tenant, attached.Round(100*time.Millisecond), time.Since(begin).Round(100*time.Millisecond), requests.counted())
	// The watcher counts a step after the resource reports its new state.
	eventually(t, "the metric of attachments to grow", func() (bool, string) {
		now := w.changes(t, "create", "attachment")
		return now != done, now
	})
}

// counted tells how many requests succeeded and failed so far.
func (r *requests) counted() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%d requests succeeded and %d failed", r.passed, len(r.failed))
}

// awaitServed waits until a request of a pod leaves from the address of its tenant.
func awaitServed(t *testing.T, namespace, tenant string) {
	t.Helper()
	address := egressAddress(t, tenant)
	eventually(t, "a request from "+address, func() (bool, string) {
		out, err := probe(t.Context(), namespace, "get", "http://"+environment.IPEchoName+"/")
		if err != nil && !isProbes(err) {
			t.Fatal(err)
		}
		return err == nil && strings.HasSuffix(strings.TrimSpace(out), address), fmt.Sprint(out, err)
	})
}

// checkMadeAgain deletes the machine, and waits until another one with the same addresses
// serves.
func checkMadeAgain(t *testing.T, w *repairing) {
	t.Helper()
	api, lost := proxyServer(t)
	w.awaitPlan(t)
	begin := time.Now()
	if _, err := api.ServerAction(&instance.ServerActionRequest{ServerID: lost.ID, Action: instance.ServerActionTerminate}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the machine", func() (bool, string) {
		got, err := api.GetServer(&instance.GetServerRequest{ServerID: lost.ID})
		_, gone := errors.AsType[*scw.ResourceNotFoundError](err)
		return gone, fmt.Sprint(got, err)
	})
	gone := time.Since(begin)
	made := awaitMachine(t, api, lost)
	again := time.Since(begin)
	vm, err := shared.Machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	booting, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := vm.Wait(booting); err != nil {
		t.Fatal(err)
	}
	booted := time.Since(begin)
	awaitServed(t, namespaceA, "client-a")
	awaitServed(t, namespaceB, "client-b")
	t.Logf("the machine: gone %s after its deletion, another one runs after %s, has booted after %s, and serves after %s", gone.Round(100*time.Millisecond),
		again.Round(100*time.Millisecond), booted.Round(100*time.Millisecond), time.Since(begin).Round(100*time.Millisecond))
	if got, want := publicAddresses(made), publicAddresses(lost); !slices.Equal(got, want) {
		t.Errorf("the machine has the public addresses %v, had %v", got, want)
	}
	out, err := vm.Exec(t.Context(), "ip", "-4", "-oneline", "address")
	if err != nil || !strings.Contains(out, " "+shared.Plan.ProxyPrivate.String()+"/") {
		t.Errorf("the machine does not have the private address %s: %v\n%s", shared.Plan.ProxyPrivate, err, out)
	}
	eventually(t, "the metric of created servers to be 1", func() (bool, string) {
		created := w.changes(t, "create", "server")
		return created == "1", created
	})
}

// awaitMachine waits for a proxy machine that runs in the place of a lost one.
func awaitMachine(t *testing.T, api *instance.API, lost *instance.Server) *instance.Server {
	t.Helper()
	var made *instance.Server
	eventually(t, "another machine", func() (bool, string) {
		list, err := api.ListServers(&instance.ListServersRequest{Tags: lost.Tags})
		if err != nil {
			return false, err.Error()
		}
		for _, server := range list.Servers {
			if server.ID != lost.ID && server.State == instance.ServerStateRunning {
				made = server
			}
		}
		return made != nil, fmt.Sprint(len(list.Servers), " servers")
	})
	return made
}

// publicAddresses returns the public addresses of a server in order.
func publicAddresses(server *instance.Server) []string {
	addresses := map[string]bool{}
	for _, ip := range server.PublicIPs {
		addresses[ip.Address.String()] = true
	}
	return slices.Sorted(maps.Keys(addresses))
}

// restoreValues does what a person does after a machine was made again: bootstrap apply
// writes its certificate and its SSH keys, and deletes the volume of the lost one, and the
// chart is upgraded.
func restoreValues(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	apply(t, shared.ConfigFile())
	release, err := shared.Release()
	if err == nil {
		err = release.Upgrade(ctx)
	}
	if err != nil {
		t.Error(err)
	}
	if out, err := kubectl(ctx, "wait", "egresstenants", "--all", "--for=condition=Ready", "--timeout=300s"); err != nil {
		t.Error(out, err)
	}
}
