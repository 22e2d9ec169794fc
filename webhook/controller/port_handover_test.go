package controller

import (
	"fmt"
	"strings"
	"testing"
)

// This file is a model of ports that pass from one tenant to another: the machine
// (cloudinit/rootfs/usr/local/lib/egress/ports.sh) and the cluster (portLedger,
// ProxyProber, TenantReconciler) as state machines whose steps interleave in every
// order. docs/adr/0021-ports-change-hands.md has the argument in words.

const (
	modelSize = 3  // tenants, and ports
	nobody    = -1 // no tenant, or no port
)

type (
	perPort   [modelSize]int8 // a tenant for each port
	perTenant [modelSize]int8 // a port for each tenant
)

// world is a state of the model. It is comparable.
type world struct {
	// config and specs are the numbers of the squid.conf in the user data and of the
	// specs in the API, which advance at any time.
	config int8
	specs  perTenant

	// The machine: the squid.conf that Squid serves, the last tenant of each port, and
	// the firewall's two sets.
	serving        int8
	holder         perPort
	open, released [modelSize]bool

	// The cluster: the admitted port in each tenant's status, and the ports that
	// NetworkPolicies on nodes, or caches of replicas, may still admit.
	status   perTenant
	enforced [modelSize][modelSize]bool // by tenant and port

	// The leader's last answer on each port, and the answer that a reconcile has
	// read and will use; each of them is valid if the proxy was asked after the last
	// release of the port.
	answer, read           perPort
	answerValid, readValid [modelSize]bool

	// Connections that were opened by a tenant's pod to a port and not ended.
	kept [modelSize][modelSize]bool
}

// rules can be switched off one by one, to show that each is needed.
type rules struct {
	noHolders      bool // the machine gives a port to another tenant at once
	keepConnection bool // the machine does not wait for the end of connections
	earlyRelease   bool // a release of before the port was closed counts
	noAsking       bool // pods are admitted to a port without asking the proxy
	oldAnswers     bool // an answer of before a release admits pods
	unsettled      bool // a port is released while replicas or nodes may admit it
}

// change is a sequence of configurations of the proxy, and of specs of each tenant.
// All begin with the same state, in which everything is in order.
type change struct {
	configs []perPort
	specs   [modelSize][]int8
}

func (c change) initial() world {
	w := world{holder: c.configs[0], answer: c.configs[0], read: c.configs[0], status: perTenant{nobody, nobody, nobody}}
	for port, tenant := range c.configs[0] {
		w.open[port] = tenant != nobody
		w.answerValid[port], w.readValid[port] = true, true
	}
	for tenant, specs := range c.specs {
		if w.status[tenant] = specs[0]; specs[0] != nobody {
			w.enforced[tenant][specs[0]] = true
		}
	}
	return w
}

func (c change) served(w world, port int) int8 { return c.configs[w.serving][port] }
func (c change) spec(w world, tenant int) int8 { return c.specs[tenant][w.specs[tenant]] }

// violation describes a request that the proxy would attribute to another tenant.
func (c change) violation(w world) string {
	for tenant := range modelSize {
		for port := range modelSize {
			as := c.served(w, port)
			if (w.enforced[tenant][port] || w.kept[tenant][port]) && w.open[port] && as != int8(tenant) {
				return fmt.Sprintf("a request of tenant %d on port %d is attributed to tenant %d", tenant, port, as)
			}
		}
	}
	return ""
}

// next returns every state that can follow.
func (c change) next(w world, r rules) []world {
	var states []world
	if int(w.config) < len(c.configs)-1 {
		states = append(states, w.with(func(n *world) { n.config++ }))
	}
	states = append(states, c.machine(w, r)...)
	for i := range modelSize {
		if int(w.specs[i]) < len(c.specs[i])-1 {
			states = append(states, w.with(func(n *world) { n.specs[i]++ }))
		}
		states = append(states, c.leader(w, i, r)...)
		states = append(states, c.pods(w, i)...)
	}
	return states
}

func (w world) with(change func(*world)) world {
	change(&w)
	return w
}

// machine are the steps of egress-sync: it closes ports before Squid reads a new file,
// opens them afterwards, and later opens ports that have been released. Connections to
// a closed port carry nothing, and end at some time.
func (c change) machine(w world, r rules) []world {
	var states []world
	if w.config != w.serving {
		states = append(states, w.with(func(n *world) {
			n.serving = w.config
			changed := false
			for port := range modelSize {
				tenant := c.served(*n, port)
				if w.open[port] && (tenant == nobody || tenant != w.holder[port] && !r.noHolders) {
					n.open[port], changed = false, true
				}
			}
			if changed && !r.earlyRelease {
				n.released = [modelSize]bool{}
			}
		}))
	}
	states = append(states, w.with(func(n *world) {
		for port := range modelSize {
			tenant := c.served(*n, port)
			passes := w.released[port] && (!w.connected(port) || r.keepConnection)
			if tenant != nobody && !w.open[port] && (w.holder[port] == nobody || w.holder[port] == tenant || passes || r.noHolders) {
				n.open[port], n.holder[port] = true, tenant
				n.released = [modelSize]bool{}
			}
		}
	}))
	return states
}

func (w world) connected(port int) bool {
	for tenant := range modelSize {
		if w.kept[tenant][port] {
			return true
		}
	}
	return false
}

// leader are the steps of the webhook's leader about one tenant, or about the port of
// the same number.
func (c change) leader(w world, i int, r rules) []world {
	states := []world{
		w.with(func(n *world) { // asks on the port
			n.answer[i], n.answerValid[i] = nobody, true
			if w.open[i] {
				n.answer[i] = c.served(w, i)
			}
		}),
		w.with(func(n *world) { n.read[i], n.readValid[i] = w.answer[i], w.answerValid[i] }),
	}
	port := c.spec(w, i)
	if w.status[i] != port {
		states = append(states, w.with(func(n *world) { n.status[i] = nobody }))
	}
	if port == nobody || w.status[i] == port || c.shared(w, i) {
		return states
	}
	if w.read[port] == int8(i) && (w.readValid[port] || r.oldAnswers) || r.noAsking {
		states = append(states, w.with(func(n *world) { n.status[i], n.enforced[i][port] = port, true }))
	}
	if w.answer[port] == nobody && (w.unused(port) || r.unsettled) {
		states = append(states, w.with(func(n *world) { n.released[port], n.answerValid[port], n.readValid[port] = true, false, false }))
	}
	return states
}

func (c change) shared(w world, tenant int) bool {
	for other := range modelSize {
		if other != tenant && c.spec(w, other) == c.spec(w, tenant) {
			return true
		}
	}
	return false
}

// unused is the condition of portLedger.release: nobody has been admitted to the port
// for longer than replicas and nodes lag behind.
func (w world) unused(port int8) bool {
	for tenant := range modelSize {
		if w.status[tenant] == port || w.enforced[tenant][port] {
			return false
		}
	}
	return true
}

// pods are the steps of a tenant's pods, and of the nodes' enforcement.
func (c change) pods(w world, tenant int) []world {
	var states []world
	for port := range modelSize {
		if w.enforced[tenant][port] && w.open[port] && !w.kept[tenant][port] {
			states = append(states, w.with(func(n *world) { n.kept[tenant][port] = true }))
		}
		if w.kept[tenant][port] {
			states = append(states, w.with(func(n *world) { n.kept[tenant][port] = false }))
		}
		if w.enforced[tenant][port] && w.status[tenant] != int8(port) {
			states = append(states, w.with(func(n *world) { n.enforced[tenant][port] = false }))
		}
	}
	return states
}

// done is whether every tenant is served on the port of its last spec.
func (c change) done(w world) bool {
	for tenant, specs := range c.specs {
		last := specs[len(specs)-1]
		if last != nobody && (w.status[tenant] != last || !w.open[last] || c.served(w, int(last)) != int8(tenant)) {
			return false
		}
	}
	return true
}

// explore visits every reachable state. It returns the first violation, or the number
// of states from which the change can no longer be completed.
func (c change) explore(r rules) (states int, violation string, stuck int) {
	initial := c.initial()
	before := map[world][]world{initial: nil}
	queue := []world{initial}
	var finished []world
	for ; len(queue) > 0; queue = queue[1:] {
		w := queue[0]
		if violation := c.violation(w); violation != "" {
			return len(before), violation, 0
		}
		if c.done(w) {
			finished = append(finished, w)
		}
		for _, n := range c.next(w, r) {
			if _, seen := before[n]; !seen {
				queue = append(queue, n)
			}
			if n != w {
				before[n] = append(before[n], w)
			}
		}
	}
	completing := map[world]bool{}
	for len(finished) > 0 {
		w := finished[len(finished)-1]
		finished = finished[:len(finished)-1]
		if !completing[w] {
			completing[w] = true
			finished = append(finished, before[w]...)
		}
	}
	return len(before), "", len(before) - len(completing)
}

func ports(list ...int8) []int8 { return list }

// changes are those that the model runs. The numbers are tenants in configs, ports in
// specs.
func changes() map[string]change {
	return map[string]change{
		"swap": {
			[]perPort{{0, 1, nobody}, {1, 0, nobody}},
			[modelSize][]int8{ports(0, 1), ports(1, 0), ports(nobody)},
		},
		"rotation over a free port": {
			[]perPort{{0, 1, nobody}, {nobody, 0, 1}},
			[modelSize][]int8{ports(0, 1), ports(1, 2), ports(nobody)},
		},
		"deleted and reused": {
			[]perPort{{0, nobody, nobody}, {1, nobody, nobody}},
			[modelSize][]int8{ports(0, nobody), ports(nobody, 0), ports(nobody)},
		},
		"passed on and back": {
			[]perPort{{0, nobody, nobody}, {1, nobody, nobody}, {0, nobody, nobody}},
			[modelSize][]int8{ports(0, nobody, 0), ports(nobody, 0, nobody), ports(nobody)},
		},
	}
}

// TestPortsChangeHands: in no order of the steps of proxy, API, replicas, nodes, pods
// and connections is a request attributed to another tenant, and from every state the
// change can still be completed.
func TestPortsChangeHands(t *testing.T) {
	t.Parallel()
	for name, change := range changes() {
		states, violation, stuck := change.explore(rules{})
		t.Logf("%s: %d states", name, states)
		if violation != "" || stuck > 0 {
			t.Errorf("%s: %s; %d of %d states cannot be completed", name, violation, stuck, states)
		}
	}
}

// TestEveryRuleIsNeeded: without any one of the rules, a request is attributed to
// another tenant in some order of some change.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]rules{
		"holders of ports":        {noHolders: true},
		"the end of connections":  {keepConnection: true},
		"releases after closing":  {earlyRelease: true},
		"asking the proxy":        {noAsking: true},
		"answers after a release": {oldAnswers: true},
		"settled policies":        {unsettled: true},
	} {
		var found []string
		for name, change := range changes() {
			if _, violation, _ := change.explore(without); violation != "" {
				found = append(found, name+": "+violation)
			}
		}
		if len(found) == 0 {
			t.Errorf("without %s, nothing is attributed to another tenant", name)
		}
		t.Logf("without %s: %s", name, strings.Join(found, "; "))
	}
}
