package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/local/environment"
)

// replacedRate is the number of new connections a second while the only machine is replaced.
const replacedRate = 100

// Bounds of safety for the time in which new connections fail because the addresses move to
// another machine: this time, or this share of the replacement, which a busy machine
// prolongs too. The documents promise 5 s on an idle machine. The log has the figures of
// each run. Without a temporary machine, connections fail for most of the replacement.
const (
	movedBound = 20 * time.Second
	movedShare = 4
)

// calm is the time without a failed request that ends an outage.
const calm = 10 * time.Second

// The only machine is replaced under load. A temporary one serves meanwhile, with the
// same addresses. New connections fail while these move there, and while they move back.
func TestOnlyMachineIsReplaced(t *testing.T) {
	requireEnvironment(t)
	config := withoutSidecars(t)
	published := egressAddresses(t)
	waitPasses(t, published[0])
	_, former := serverOf(t, "egress-local-proxy")
	changeType(t)

	stop := keepLoading(t, namespaceA, replacedRate, lostPatience)
	time.Sleep(5 * time.Second)
	began := time.Now()
	apply(t, config, "--allow-replace")
	took := time.Since(began)
	// Until the Services lead to the new machine.
	waitEndpoints(t.Context(), t, "client-a")
	time.Sleep(calm)
	requests := stop()

	checkOutages(t, requests, began, took, published[0])
	if got := egressAddresses(t); !slices.Equal(got, published) {
		t.Errorf("the published addresses are %v, were %v", got, published)
	}
	if _, servers := serversOf(t, "egress-local-proxy-spare"); len(servers) > 0 {
		t.Errorf("the temporary machine still exists: %s", servers[0].State)
	}
	if _, server := serverOf(t, "egress-local-proxy"); server.CommercialType == former.CommercialType {
		t.Errorf("the machine has the type %s, as before", server.CommercialType)
	}
	checkPlan(t, config)
	checkFollows(t, published)
}

// checkFollows: the machine has learned that it has the published addresses alone, so that it
// reaches the metadata service without the address by which it booted.
func checkFollows(t *testing.T, published []string) {
	t.Helper()
	vm, err := shared.Machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the machine to follow its addresses", func() (bool, string) {
		out, err := vm.Exec(t.Context(), "cat", "/var/lib/egress/addresses")
		var addresses []string
		for _, line := range lines(out) {
			address, _, _ := strings.Cut(line, " ")
			addresses = append(addresses, address)
		}
		slices.Sort(addresses)
		return err == nil && slices.Equal(addresses, slices.Sorted(slices.Values(published))), fmt.Sprint(out, err)
	})
}

// withoutSidecars lets the machine identify tenants by ports alone, until the end of the
// test, and lets the cluster know the address of a temporary machine: with sidecars,
// there is none. It returns the egress.yaml.
func withoutSidecars(t *testing.T) string {
	t.Helper()
	file := shared.ConfigFile()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0o600); err != nil {
			t.Error(err)
		}
		replaceAndUpgrade(context.WithoutCancel(t.Context()), t)
		waitEndpoints(context.WithoutCancel(t.Context()), t, "client-a")
		waitEndpoints(context.WithoutCancel(t.Context()), t, "client-b")
	})
	change(t, file, "    identity: Offered\n", "")
	replaceAndUpgrade(t.Context(), t)
	return file
}

// change replaces a text in a file.
func change(t *testing.T, file, before, after string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(content, []byte(before), []byte(after), 1)
	if bytes.Equal(changed, content) {
		t.Fatalf("%s does not contain %q", file, before)
	}
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

// replaceAndUpgrade applies egress.yaml, waits until the machine has booted, and upgrades
// the chart with the new values.
func replaceAndUpgrade(ctx context.Context, t *testing.T) {
	t.Helper()
	apply(t, shared.ConfigFile(), "--allow-replace") //nolint:contextcheck // its context outlives the test's
	vm, err := shared.Machine(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	booting, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := vm.Wait(booting); err != nil {
		t.Error(err)
	}
	upgrade(ctx, t)
}

// egressAddresses returns the published addresses of client-a and client-b.
func egressAddresses(t *testing.T) []string {
	t.Helper()
	var addresses []string
	for _, tenant := range []string{"client-a", "client-b"} {
		address, err := shared.EgressAddress(tenant)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address.String())
	}
	return addresses
}

// waitPasses waits until requests of client-a leave by an address.
func waitPasses(t *testing.T, address string) {
	t.Helper()
	eventually(t, "requests from "+address, func() (bool, string) {
		out, err := probe(t.Context(), namespaceA, "get", "http://"+environment.IPEchoName+"/")
		return err == nil && strings.Contains(out, address), out
	})
}

// outage is a time in which new connections failed.
type outage struct {
	first, last time.Time // the beginnings of the first and of the last that failed
	failed      int
	causes      map[string]int
}

func (i *outage) lasted() time.Duration { return i.last.Sub(i.first) }

// outagesOf returns the outages in requests, which are in the order of their
// beginnings. A request that a machine accepts and does not answer has failed, too: the
// machine may have lost its address.
func outagesOf(requests []request) []*outage {
	var all []*outage
	for _, r := range requests {
		if r.Error == "" {
			continue
		}
		if len(all) == 0 || r.begun().Sub(all[len(all)-1].last) > calm {
			all = append(all, &outage{first: r.begun(), causes: map[string]int{}})
		}
		last := all[len(all)-1]
		last.last = r.begun()
		last.failed++
		last.causes[r.Error]++
	}
	return all
}

// checkOutages: requests fail for a short time only, and all others leave by the
// published address.
func checkOutages(t *testing.T, requests []request, began time.Time, took time.Duration, published string) {
	t.Helper()
	sources, failed := map[string]int{}, 0
	var pause time.Duration // without a new connection that succeeds
	before := began
	for _, r := range requests {
		if r.Error != "" {
			failed++
			continue
		}
		sources[r.Body]++
		pause = max(pause, r.begun().Sub(before))
		before = r.begun()
	}
	t.Logf("the replacement took %s; of %d requests, %d failed; no request succeeded for at most %s", took.Round(time.Second/10), len(requests), failed, pause)
	if len(sources) != 1 || sources[published] == 0 {
		t.Errorf("requests left by %v, want %s alone", sources, published)
	}
	for _, i := range outagesOf(requests) {
		t.Logf("new connections failed for %s, from %s after the start: %d, %v", i.lasted(), i.first.Sub(began).Round(time.Millisecond), i.failed, i.causes)
		if i.lasted() > max(movedBound, took/movedShare) {
			t.Errorf("new connections failed for %s", i.lasted())
		}
	}
}
