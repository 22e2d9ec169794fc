package scwfake_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	instance2 "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// garage records the calls to Machines.
type garage struct {
	mu    sync.Mutex
	notes []string
	// onPowerOn is called without the garage's lock.
	onPowerOn func()
}

func (g *garage) note(format string, arguments ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notes = append(g.notes, fmt.Sprintf(format, arguments...))
}

func (g *garage) PowerOn(m scwfake.Machine) {
	var private []string
	for _, n := range m.NICs {
		private = append(private, fmt.Sprint(n.Addresses[0]))
	}
	g.note("on %s %s public %v private %v", m.Name, m.UserData["cloud-init"], m.PublicIPs, private)
	if g.onPowerOn != nil {
		g.onPowerOn()
	}
}
func (g *garage) PowerOff(string) { g.note("off") }
func (g *garage) Changed(m scwfake.Machine) {
	g.note("changed: %s public %v", m.UserData["cloud-init"], m.PublicIPs)
}

func TestMachines(t *testing.T) {
	t.Parallel()
	machines := &garage{}
	c := newCloud(t, scwfake.Options{Machines: machines})
	s, n := c.newServer("s"), c.newNetwork()
	// A hook may send requests to the fake.
	machines.onPowerOn = func() { _ = must(c.vpc.ListVPCs(&vpc.ListVPCsRequest{}))(t) }
	must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
		PrivateNetworkID: n.ID, ServerID: &s.ID,
	}))(t)
	c.setUserData(s, "cloud-init", "one")
	c.start(s)
	c.setUserData(s, "cloud-init", "two")
	ip := c.flexibleIP()
	noError(t, c.assign(ip, s))
	must(c.instance.UpdateIP(&instance.UpdateIPRequest{IP: ip, Server: &instance.NullableStringValue{Null: true}}))(t)
	noError(t, c.assign(c.flexibleIP(), c.newServer("other")))
	c.act(s, instance.ServerActionReboot)
	states(t, c.serverState(s.ID))
	c.act(s, instance.ServerActionTerminate)
	states(t, c.serverState(s.ID))
	c.newPool(c.newCluster(n))
	want := []string{
		"on s one public [] private [172.16.64.2/22]",
		"changed: two public []",
		"changed: two public [203.0.113.1]",
		"changed: two public []",
		"off",
		"on s two public [] private [172.16.64.2/22]",
		"off",
	}
	if diff := cmp.Diff(want, machines.notes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestKubeconfig serves a kubeconfig of the caller.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	var fake *scwfake.API
	c := newCloud(t, scwfake.Options{Kubeconfig: func(id, name string) ([]byte, error) {
		if len(fake.Inventory()) == 0 || id == "" {
			return nil, errors.New("there is no cluster")
		}
		return []byte("# " + name), nil
	}})
	fake = c.fake
	var got struct {
		Content []byte `json:"content"`
	}
	noError(t, c.client.Do(&scw.ScalewayRequest{
		Method: http.MethodGet, Path: "/k8s/v1/regions/fr-par/clusters/" + c.newCluster(c.newNetwork()).ID + "/kubeconfig",
	}, &got))
	if string(got.Content) != "# cluster" {
		t.Errorf("got %s", got.Content)
	}
}

// TestInventory tests that a created and deleted resource leaves no trace in the
// inventory, and that every change is visible.
func TestInventory(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	network := c.newNetwork()
	group := must(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{Name: "sg"}))(t).SecurityGroup
	s := c.newServer("s")
	states(t, func() (string, error) {
		_, err := c.block.GetVolume(volumeOf(s))
		return "", err
	})
	before := c.fake.Inventory()
	for name, test := range map[string]struct{ change, undo func() }{
		"user data": {
			func() { c.setUserData(s, "k", "v") },
			func() {
				noError(t, c.instance.DeleteServerUserData(&instance.DeleteServerUserDataRequest{ServerID: s.ID, Key: "k"}))
			},
		},
		"rules": {
			func() {
				must(c.instance.SetSecurityGroupRules(&instance.SetSecurityGroupRulesRequest{
					SecurityGroupID: group.ID, Rules: []*instance.SetSecurityGroupRulesRequestRule{{
						Action: "accept", Protocol: "TCP", Direction: "inbound",
						IPRange: network.Subnets[0].Subnet,
					}},
				}))(t)
			},
			func() {
				must(c.instance.SetSecurityGroupRules(&instance.SetSecurityGroupRulesRequest{SecurityGroupID: group.ID}))(t)
			},
		},
		"tags": {
			func() {
				must(c.vpc.UpdatePrivateNetwork(&vpc.UpdatePrivateNetworkRequest{PrivateNetworkID: network.ID, Tags: &[]string{"x"}}))(t)
			},
			func() {
				must(c.vpc.UpdatePrivateNetwork(&vpc.UpdatePrivateNetworkRequest{PrivateNetworkID: network.ID, Tags: &[]string{}}))(t)
			},
		},
	} {
		test.change()
		if cmp.Equal(before, c.fake.Inventory()) {
			t.Errorf("%s: the change does not show", name)
		}
		test.undo()
		if diff := cmp.Diff(before, c.fake.Inventory()); diff != "" {
			t.Errorf("%s: it is not as it was (-before +after):\n%s", name, diff)
		}
	}
	if kinds := names(before, func(i scwfake.Item) string { return i.Kind }); !slices.IsSorted(kinds) {
		t.Errorf("kinds are not sorted: %v", kinds)
	}
}

// TestLatencies measures the latencies, at a tenth of Scaleway's durations.
func TestLatencies(t *testing.T) {
	t.Parallel()
	const scale = 0.1
	machines := &garage{}
	c := newCloud(t, scwfake.Options{LatencyScale: scale, Machines: machines})
	s := c.newServer("s")
	least := time.Duration(scale * float64(scwfake.Latencies()[scwfake.ServerRunning]))
	start := time.Now()
	c.act(s, instance.ServerActionPoweron)
	// On a busy machine, the answer may come when the server runs already.
	if got := must(c.serverState(s.ID)())(t); got != instance.ServerStateStarting && time.Since(start) < least {
		t.Errorf("at once the server is %s", got)
	}
	must(c.instance.WaitForServer(&instance.WaitForServerRequest{ServerID: s.ID, Zone: zone, RetryInterval: interval()}))(t)
	if took := time.Since(start); took < least {
		t.Errorf("the server took %s to run, that is less than %s", took, least)
	}
	// The machine stops without a read.
	c.act(s, instance.ServerActionReboot)
	deadline := time.Now().Add(time.Minute)
	for !machines.has("on s", 2) {
		if time.Now().After(deadline) {
			t.Fatalf("the machine did not come back: %v", machines.notes)
		}
		time.Sleep(time.Millisecond)
	}
}

func (g *garage) has(prefix string, count int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := 0
	for _, note := range g.notes {
		if strings.HasPrefix(note, prefix) {
			found++
		}
	}
	return found >= count
}

// TestHooks simulates a client that is killed during a request: OnReply is called
// after the request is carried out.
func TestHooks(t *testing.T) {
	t.Parallel()
	var fake *scwfake.API
	var log strings.Builder
	var during []int
	c := newCloud(t, scwfake.Options{
		Log: &log,
		OnRequest: func(n int, r *http.Request) {
			if r.Method == http.MethodPost {
				during = append(during, n, len(fake.Inventory()))
			}
		},
		OnReply: func(n int, r *http.Request) {
			if r.Method == http.MethodPost {
				during = append(during, n, len(fake.Inventory()))
			}
		},
	})
	fake = c.fake
	must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "secret"}))(t)
	if diff := cmp.Diff([]int{2, 0, 2, 1}, during); diff != "" {
		t.Errorf("request, resources before, request, resources after (-want +got):\n%s", diff)
	}
	want := []scwfake.Call{{Method: "GET", Path: "/metadata", Status: 200}, {Method: "POST", Path: "/vpc/v2/regions/fr-par/vpcs", Status: 200}}
	if diff := cmp.Diff(want, c.fake.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if text := log.String(); !strings.Contains(text, `2 POST "/vpc/v2/regions/fr-par/vpcs" 200`) || strings.Contains(text, "secret") {
		t.Errorf("log: %s", text)
	}
}

// TestConcurrency creates many addresses at a time. They are all different.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	const many = 40
	c := newCloud(t, scwfake.Options{})
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			s := c.newServer(fmt.Sprint("s", i))
			if err := c.assign(c.flexibleIP(), s); err != nil {
				t.Error(err)
			}
			c.fake.Inventory()
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, ip := range must(c.instance.ListIPs(&instance.ListIPsRequest{}, scw.WithAllPages()))(t).IPs {
		seen[ip.Address.String()] = true
	}
	if len(seen) != many {
		t.Errorf("there are %d addresses", len(seen))
	}
}

// TestServerWritesItsUserData: the Instances API returns a value that a server has set
// through its metadata service.
func TestServerWritesItsUserData(t *testing.T) {
	t.Parallel()
	machines := &garage{}
	c := newCloud(t, scwfake.Options{Machines: machines})
	s := c.newServer("s")
	c.setUserData(s, "cloud-init", "one")
	c.start(s)
	noError(t, c.fake.SetUserData(s.ID, "egress-status", []byte("status")))
	got := must(c.instance.GetServerUserData(&instance.GetServerUserDataRequest{ServerID: s.ID, Key: "egress-status"}))(t)
	if text := string(must(io.ReadAll(got))(t)); text != "status" {
		t.Errorf("%q", text)
	}
	if err := c.fake.SetUserData("another", "egress-status", nil); err == nil {
		t.Error("an unknown server is not an error")
	}
	if want := "changed: one public []"; !slices.Contains(machines.notes, want) {
		t.Errorf("%q, want %q", machines.notes, want)
	}
}
