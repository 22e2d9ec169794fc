package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// An attacker with the ClusterRole admin in a tenant's namespace does not get
// past the product, and each row names the part that stops it. The same attempt
// succeeds once that part is lifted for this attacker.
func TestAttacks(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	for i, k := range slices.Concat(policyAttacks(), namespaceAttacks(), podAttacks(), nodeAttacks()) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			// Each has a user of its own: the API server may go by rights
			// that it has lost for a moment.
			k.run(t, newAttacker(t, "e2e-attack-"+strconv.Itoa(i), "client-a"))
		})
	}
}

// Where they succeed, these attacks take an address from all other pods, so that no
// other test runs meanwhile.
func TestAttacksOnAddresses(t *testing.T) {
	requireEnvironment(t)
	for i, k := range serviceAttacks() {
		t.Run(k.name, func(t *testing.T) {
			k.run(t, newAttacker(t, "e2e-attack-address-"+strconv.Itoa(i), "client-a"))
		})
	}
}

// reachesInternet dials an address of the internet, and reports whether packets
// arrived there from another address than the proxy's.
func reachesInternet(t *testing.T, a attacker) (bool, string) {
	t.Helper()
	to := at(a.port)
	before := arrivedAt(t, "tcp", to)
	_, err := probe(t.Context(), a.namespace, "dial", "tcp", to.String())
	if err != nil && !isProbes(err) {
		t.Fatal(err)
	}
	packets := arrivedAt(t, "tcp", to) - before
	return packets > 0, fmt.Sprintf("%d packets arrived, %v", packets, err)
}

// requireOpen waits until the namespace reaches the internet: the control of a test that
// the namespace is closed otherwise.
func requireOpen(t *testing.T, a attacker) {
	t.Helper()
	eventually(t, "the namespace to be open, or that it is closed proves nothing", func() (bool, string) { return reachesInternet(t, a) })
}

// requireClosed waits until the namespace does not reach the internet any more. A
// network plugin applies a changed policy some time after the API server has it.
func requireClosed(t *testing.T, a attacker) {
	t.Helper()
	eventually(t, "the namespace to be closed", func() (bool, string) {
		open, state := reachesInternet(t, a)
		return !open, state
	})
}

// leavesAsOtherTenant sends a request to the port of client-b, and reports
// whether the internet sees client-b's address.
func leavesAsOtherTenant(t *testing.T, a attacker) (bool, string) {
	t.Helper()
	return leavesAs(t, a.namespace, "client-b", "3130")
}
