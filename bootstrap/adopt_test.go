package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
)

// theirs are resources that another tool has created.
type theirs struct {
	network, gateway, attachment string
	// addresses are the IDs of two flexible addresses, values the addresses themselves.
	addresses, values [2]string
}

// terraformed creates a network with a gateway, and two addresses, and configures the
// stack for them.
func (s *site) terraformed(t *testing.T) theirs {
	t.Helper()
	const gateways, place = "/vpc-gw/v2/", "zones/fr-par-1/"
	made := theirs{network: s.createNetwork(t, "fr-par", "172.16.28.0/22")}
	made.gateway = s.create(t, gateways+place+"gateways", object{"name": "terraform", "type": "VPC-GW-S", "tags": []string{"terraform"}})
	s.await(t, gateways+place+"gateways/"+made.gateway, "running")
	made.attachment = s.create(t, gateways+place+"gateway-networks", object{
		"gateway_id": made.gateway, "private_network_id": made.network, "enable_masquerade": true, "push_default_route": true,
	})
	s.await(t, gateways+place+"gateway-networks/"+made.attachment, "ready")
	for i := range made.addresses {
		made.addresses[i], made.values[i] = s.createAddress(t, "fr-par-1")
	}
	s.configure(t, replaced(t, "{cidr: 172.16.28.0/22}", "{id: "+made.network+"}"))
	return made
}

// await reads a resource until it has a status.
func (s *site) await(t *testing.T, path, want string) {
	t.Helper()
	var view struct{ Status string }
	for deadline := time.Now().Add(time.Minute); view.Status != want; time.Sleep(time.Millisecond) {
		if err := json.Unmarshal(s.request(t, http.MethodGet, path, nil), &view); err != nil || time.Now().After(deadline) {
			t.Fatalf("%s: the status is %q, want %q (%v)", path, view.Status, want, err)
		}
	}
}

func (s *site) createAddress(t *testing.T, zone string) (id, address string) {
	t.Helper()
	var answer struct{ IP struct{ ID, Address string } }
	body := object{"project": scwfake.DefaultProjectID, "type": "routed_ipv4", "tags": []string{"terraform"}}
	if err := json.Unmarshal(s.request(t, http.MethodPost, "/instance/v1/zones/"+zone+"/ips", body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.IP.ID, answer.IP.Address
}

// tagsOf returns the tags of the resources with IDs.
func (s *site) tagsOf(ids ...string) string {
	var all []string
	for _, id := range ids {
		for _, item := range s.Inventory() {
			if item.ID == id {
				all = append(all, strings.Join(item.Tags, " "))
			}
		}
	}
	return strings.Join(all, "; ")
}

func (m theirs) flags() []string {
	return []string{"adopt", "--gateway", m.gateway, "--shared-address", m.values[0], "--tenant-address", "client-b=" + m.addresses[1], "--yes"}
}

const adoptedTags = "terraform egress-scw=production; terraform egress-scw=production egress-scw-role=shared; " +
	"terraform egress-scw=production egress-scw-role=tenant/client-b"

// TestAdopt requires that apply uses the adopted resources, and that nothing but tags
// changes before.
func TestAdopt(t *testing.T) {
	t.Parallel()
	s := newSite(t, baseConfig, scwfake.Options{})
	m := s.terraformed(t)
	before := s.tagsOf(m.gateway, m.addresses[0], m.addresses[1])
	output := s.mustRun(t, append(m.flags(), "--dry-run")...)
	if s.tagsOf(m.gateway, m.addresses[0], m.addresses[1]) != before || !strings.Contains(output, "gets the tags egress-scw=production, egress-scw-role=shared") {
		t.Errorf("--dry-run: the tags are %s\n%s", s.tagsOf(m.gateway, m.addresses[0], m.addresses[1]), output)
	}
	s.ResetCount()
	s.mustRun(t, m.flags()...)
	if got := s.tagsOf(m.gateway, m.addresses[0], m.addresses[1]); got != adoptedTags {
		t.Errorf("the tags are %q, want %q", got, adoptedTags)
	}
	var writes []string
	for _, call := range s.Calls() {
		if call.Method != http.MethodGet {
			writes = append(writes, call.Method+" "+call.Path)
		}
	}
	want := []string{
		"PATCH /vpc-gw/v2/zones/fr-par-1/gateways/" + m.gateway,
		"PATCH /instance/v1/zones/fr-par-1/ips/" + m.addresses[0], "PATCH /instance/v1/zones/fr-par-1/ips/" + m.addresses[1],
	}
	if diff := cmp.Diff(want, writes); diff != "" {
		t.Errorf("requests that change something: -want +got\n%s", diff)
	}
	if output := s.mustRun(t, m.flags()...); !strings.Contains(output, "Nothing to do: production owns all of them.") {
		t.Errorf("again:\n%s", output)
	}
	s.requireAdopted(t, m, "adopt")
}

// requireAdopted runs apply, and requires that the stack uses the resources, and has
// no others.
func (s *site) requireAdopted(t *testing.T, m theirs, what string) {
	t.Helper()
	output := s.mustRun(t, "apply", "--yes")
	for _, address := range m.values {
		if !strings.Contains(output, address) {
			t.Errorf("%s: apply does not use %s:\n%s", what, address, output)
		}
	}
	count := map[string]int{}
	for _, item := range s.Inventory() {
		count[item.Kind]++
	}
	if count["gateway"] != 1 || count["gateway-network"] != 1 || count["flexible-ip"] != len(m.addresses) {
		t.Errorf("%s: there are %v", what, count)
	}
	s.mustRun(t, "plan") // exit code 2 if the plan is not empty
}

// TestAdoptSeveralMachines requires that each machine uses the addresses that it gets, in its
// zone.
func TestAdoptSeveralMachines(t *testing.T) {
	t.Parallel()
	s := newSite(t, baseConfig, scwfake.Options{})
	m := s.terraformed(t)
	second, secondValue := s.createAddress(t, "fr-par-2")
	dedicated, dedicatedValue := s.createAddress(t, "fr-par-2")
	s.configure(t, replaced(t, append(twoMachines(), "{cidr: 172.16.28.0/22}", "{id: "+m.network+"}")...))
	flags := []string{
		"adopt", "--gateway", m.gateway, "--yes", "--shared-address", m.values[0], "--shared-address", "proxy-2=" + secondValue,
		"--tenant-address", "client-b=" + m.addresses[1] + ",proxy-2/client-b=" + dedicated,
	}
	s.mustRun(t, flags...)
	const want = adoptedTags + "; terraform egress-scw=production egress-scw-role=proxy-2/shared; " +
		"terraform egress-scw=production egress-scw-role=proxy-2/tenant/client-b"
	if got := s.tagsOf(m.gateway, m.addresses[0], m.addresses[1], second, dedicated); got != want {
		t.Errorf("the tags are %q, want %q", got, want)
	}
	if output := s.mustRun(t, flags...); !strings.Contains(output, "Nothing to do: production owns all of them.") {
		t.Errorf("again:\n%s", output)
	}
	s.mustRun(t, "apply", "--yes")
	servers := map[string]string{}
	for _, item := range s.Inventory() {
		servers[item.ID] = item.Name
		if item.Kind == "flexible-ip" && !strings.Contains(strings.Join(item.Tags, " "), "terraform") {
			t.Errorf("apply has created the address %s", item)
		}
	}
	for id, machine := range map[string]string{m.addresses[0]: "proxy", m.addresses[1]: "proxy", second: "proxy-2", dedicated: "proxy-2"} {
		if got := servers[s.holder(id)]; got != "egress-production-"+machine {
			t.Errorf("%s is attached to %q, want %s", id, got, machine)
		}
	}
	var document struct{ Addresses addresses }
	if err := json.Unmarshal([]byte(jsonIn(s.mustRun(t, "status", "--output", "json"))), &document); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(document.Addresses.Shared, document.Addresses.Dedicated["client-b"]); got != fmt.Sprintf("[%s %s] [%s %s]", m.values[0], secondValue, m.values[1], dedicatedValue) {
		t.Errorf("the addresses are %s", got)
	}
	s.mustRun(t, "plan") // exit code 2 if the plan is not empty
}

// jsonIn returns the document in an output that begins with progress.
func jsonIn(output string) string { return output[max(0, strings.Index(output, "{")):] }

// TestAdoptMovesAnAddress requires that an address that another server has stays with it
// until apply, and that an older one takes the place of the stack's own.
func TestAdoptMovesAnAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t, baseConfig, scwfake.Options{})
	m := s.terraformed(t)
	s.createServer(t, "squid", m.network, "172.16.28.20")
	server := ""
	for _, item := range s.Inventory() {
		if item.Kind == "server" {
			server = item.ID
		}
	}
	s.request(t, http.MethodPatch, "/instance/v1/zones/fr-par-1/ips/"+m.addresses[0], object{"server": server})
	s.configure(t, replaced(t, "{cidr: 172.16.28.0/22}", "{id: "+m.network+"}", "  proxy:\n", "  gateway: {enabled: false}\n  proxy:\n"))
	s.mustRun(t, "apply", "--yes")
	output := s.mustRun(t, "adopt", "--shared-address", m.values[0], "--yes")
	if !strings.Contains(output, "goes back to Scaleway, and cannot be recovered") {
		t.Errorf("the loss of the younger address is not shown:\n%s", output)
	}
	if got := s.holder(m.addresses[0]); got != server {
		t.Errorf("adopt moves the address to %q", got)
	}
	if output := s.mustRun(t, "apply", "--yes"); !strings.Contains(output, m.values[0]) || s.holder(m.addresses[0]) == server {
		t.Errorf("apply does not use the address:\n%s", output)
	}
	s.mustRun(t, "plan") // exit code 2 if the plan is not empty
	younger, _ := s.createAddress(t, "fr-par-1")
	code, output := s.run(t, "adopt", "--shared-address", younger, "--yes")
	if code != exitFailed || !strings.Contains(output, "one of several for one purpose; the oldest stays") || s.tagsOf(younger) != "terraform" {
		t.Errorf("a younger address: exit code %d, tags %q\n%s", code, s.tagsOf(younger), output)
	}
}

// holder returns the ID of the server that has an address.
func (s *site) holder(address string) string {
	for _, item := range s.Inventory() {
		if item.ID == address {
			return item.Parent
		}
	}
	return ""
}

// TestAdoptRefusals requires all errors at once, and no change.
func TestAdoptRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, baseConfig, scwfake.Options{})
	m := s.terraformed(t)
	foreign, _ := s.createAddress(t, "fr-par-1")
	s.request(t, http.MethodPatch, "/instance/v1/zones/fr-par-1/ips/"+foreign, object{"tags": []string{"egress-scw=other"}})
	other := s.createNetwork(t, "fr-par", "10.1.0.0/22")
	for _, c := range []struct {
		name   string
		config []string
		args   []string
		want   []string
	}{
		{"no resource", nil, []string{"--yes"}, []string{"name a resource"}},
		{"flags", nil, []string{"--gateway", "x", "--shared-address", "192.0.2.1", "--tenant-address", "client-b=192.0.2.1"}, []string{
			`--gateway: "x" is not a UUID`, "--tenant-address client-b: another flag names 192.0.2.1 too",
		}},
		{"missing ones", nil, []string{"--gateway", unusedID, "--shared-address", "192.0.2.1"}, []string{
			"--gateway: there is no Public Gateway " + unusedID + " in fr-par", "--shared-address: there is no flexible address 192.0.2.1 in fr-par-1",
		}},
		{"another stack", nil, []string{"--shared-address", foreign}, []string{"--shared-address: the flexible address " + foreign + ": it belongs to the stack other"}},
		{"machines that egress.yaml lacks", nil, []string{"--shared-address", "proxy-2=192.0.2.1", "--tenant-address", "proxy-9/client-b=192.0.2.2"}, []string{
			`--shared-address proxy-2: there is no machine "proxy-2": with spec.proxy.replicas: 1 there is proxy`,
			`--tenant-address proxy-9/client-b: there is no machine "proxy-9"`,
		}},
		{"two for one purpose", twoMachines(), []string{"--shared-address", "proxy-2=192.0.2.1", "--shared-address", "proxy-2=192.0.2.2"}, []string{
			"--shared-address proxy-2: another flag names an address of proxy-2 for the same purpose",
		}},
		{"another machine's zone", twoMachines(), []string{"--shared-address", "proxy-2=" + m.values[0]}, []string{
			"--shared-address proxy-2: there is no flexible address " + m.values[0] + " in fr-par-2",
		}},
		{"a tenant without a dedicated address", nil, []string{"--tenant-address", "client-a=" + m.addresses[0]}, []string{
			"--tenant-address client-a: the plan would delete the flexible-ip " + m.addresses[0],
		}},
		{"a gateway that is not wanted", []string{"  proxy:\n", "  gateway: {enabled: false}\n  proxy:\n"}, []string{"--gateway", m.gateway}, []string{
			"--gateway: the plan would delete the gateway " + m.gateway, "--gateway: the plan would delete the gateway-network " + m.attachment,
		}},
		{"a gateway in another zone", []string{"  proxy:\n", "  gateway: {zone: fr-par-2}\n  proxy:\n"}, []string{"--gateway", m.gateway}, []string{
			"--gateway: the plan would delete the gateway " + m.gateway + ": a gateway stays in its zone",
		}},
		{"a gateway of another network", []string{"{id: " + m.network + "}", "{id: " + other + "}", "172.16.28.8", "10.1.0.8"}, []string{"--gateway", m.gateway}, []string{
			"--gateway: the plan would delete the gateway-network " + m.attachment,
		}},
		{"no terminal", nil, []string{"--gateway", m.gateway}, []string{"confirmation needs a terminal"}},
	} {
		s.configure(t, replaced(t, append([]string{"{cidr: 172.16.28.0/22}", "{id: " + m.network + "}"}, c.config...)...))
		before := fmt.Sprint(s.Inventory())
		code, output := s.run(t, append([]string{"adopt"}, c.args...)...)
		if code != exitFailed {
			t.Errorf("%s: exit code %d", c.name, code)
		}
		for _, want := range c.want {
			if !strings.Contains(output, want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, output)
			}
		}
		if fmt.Sprint(s.Inventory()) != before {
			t.Errorf("%s changes something", c.name)
		}
	}
}

// At each request of adopt, the process is killed, or there is a fault.
// The next run adds the tags that are missing.
func TestAdoptContinues(t *testing.T) {
	t.Parallel()
	reference := newSite(t, baseConfig, scwfake.Options{})
	m := reference.terraformed(t)
	reference.ResetCount()
	reference.mustRun(t, m.flags()...)
	requests := reference.Requests()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%t", after), func(t *testing.T) {
			t.Parallel()
			for position := requests - 4; position <= requests; position++ { // before, only reads
				i := interruption{syscall.SIGKILL, position, after}
				shot := &sniper{position: position}
				s := newSite(t, baseConfig, shot.options(after))
				m := s.terraformed(t)
				s.ResetCount()
				i.run(t, s, shot, m.flags()...)
				s.requireAdoptedAgain(t, m, i.String())
			}
		})
	}
	for _, kind := range []scwfake.FaultKind{scwfake.FaultReplyLost, scwfake.FaultReset, scwfake.FaultPermissionsDenied} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for position := 1; position <= requests; position++ {
				s := newSite(t, baseConfig, scwfake.Options{})
				m := s.terraformed(t)
				s.ResetCount()
				s.SetFaults([]scwfake.Fault{{Call: position, Count: 1, Kind: kind}})
				code, output := s.run(t, m.flags()...)
				s.SetFaults(nil)
				if adopted := s.tagsOf(m.gateway, m.addresses[0], m.addresses[1]) == adoptedTags; adopted != (code == exitDone) {
					t.Errorf("%s at request %d: exit code %d, adopted: %t\n%s", kind, position, code, adopted, output)
				}
				s.requireAdoptedAgain(t, m, fmt.Sprintf("%s at request %d", kind, position))
			}
		})
	}
}

func (s *site) requireAdoptedAgain(t *testing.T, m theirs, what string) {
	t.Helper()
	s.mustRun(t, m.flags()...)
	if got := s.tagsOf(m.gateway, m.addresses[0], m.addresses[1]); got != adoptedTags {
		t.Errorf("%s: the tags are %q, want %q", what, got, adoptedTags)
	}
}
