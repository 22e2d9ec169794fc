package controller

import (
	"testing"
	"time"
)

func TestPortLedger(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	ledger := newPortLedger()
	ledger.begin(start)
	check := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %t, want %t", what, got, want)
		}
	}
	check("a port that another leader may have admitted pods to is released", ledger.release(3129, at(29)), false)
	ledger.use(3129, at(20))
	check("a port that was used 29 s ago is released", ledger.release(3129, at(49)), false)
	check("a port that was used 30 s ago is released", ledger.release(3129, at(50)), true)
	check("an answer of before the release admits pods", ledger.admit(3129, at(49), at(51)), false)
	check("an answer of the time of the release admits pods", ledger.admit(3129, at(50), at(51)), false)
	check("an answer of 16 s ago admits pods", ledger.admit(3129, at(51), at(67)), false)
	check("an answer of after the release admits pods", ledger.admit(3129, at(66), at(67)), true)
	check("a port that pods were just admitted to is released", ledger.release(3129, at(96)), false)
	check("30 s later, it is released", ledger.release(3129, at(97)), true)
	check("another port is not concerned by that", ledger.admit(3130, at(90), at(91)), true)
	ledger.begin(at(200))
	check("a new leader releases a port", ledger.release(3131, at(229)), false)
}
