package capture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestTableNeverGivesAnAddressTwice: within the life of an answer or of a connection, an
// address stands for one name, whatever the programs ask. The range is made small here,
// so that addresses come round.
func TestTableNeverGivesAnAddressTwice(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	names := newTable(8, now)
	type given struct {
		name  string
		until time.Time
	}
	answers := make(map[netip.Addr]given)
	evictions, refusals := 0, 0
	for range 200_000 {
		now = now.Add(time.Duration(random.IntN(1500)) * time.Millisecond)
		names.next %= 10 // 9 addresses
		name := fmt.Sprintf("n%d.example", random.IntN(40))
		e := names.find(name, now)
		if e == nil {
			added, freed, err := names.add(name, now)
			if errors.Is(err, errFull) {
				refusals++
				continue
			}
			if freed != nil {
				evictions++
			}
			e = added
		}
		if before, found := answers[e.address]; found && before.name != name && now.Before(before.until) {
			t.Fatalf("%s stands for %s and for %s", e.address, before.name, name)
		}
		answers[e.address] = given{name, now.Add(ttl)}
		if random.IntN(4) == 0 { // a connection begins or ends
			if e.open > 0 && random.IntN(2) == 0 {
				e.open--
			} else if e.open < 3 {
				e.open++
			}
		}
		for address, e := range names.byAddr {
			if e.open > 0 { // the address cannot be another name's meanwhile
				answers[address] = given{e.name, now.Add(time.Hour)}
			} else if answers[address].until.After(now.Add(ttl)) {
				answers[address] = given{e.name, now}
			}
		}
		if len(names.byName) > names.most || len(names.byAddr) != len(names.byName) {
			t.Fatalf("%d names and %d addresses, bound %d", len(names.byName), len(names.byAddr), names.most)
		}
	}
	if evictions < 100 || refusals < 100 {
		t.Errorf("%d names lost their place and %d were refused: the test tries too little", evictions, refusals)
	}
}

// TestTableFrees: in a full table, the name loses its place that was not used for the
// longest time, and none that was used within the hold or has a connection.
func TestTableFrees(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	names := newTable(3, begin)
	for i, name := range []string{"a.example", "b.example", "c.example"} {
		if _, _, err := names.add(name, begin.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := names.add("d.example", begin.Add(hold)); !errors.Is(err, errFull) {
		t.Errorf("a name lost its place within the hold: %v", err)
	}
	names.find("a.example", begin.Add(hold))
	names.byName["b.example"].open = 1
	_, freed, err := names.add("d.example", begin.Add(hold+3*time.Second))
	if err != nil || freed.name != "c.example" {
		t.Errorf("%+v lost its place (%v), want c.example", freed, err)
	}
}

// TestTableGivesAllOtherAddressesFirst: an address that was given does not come again
// before all others, and those of a network's ends never do.
func TestTableGivesAllOtherAddressesFirst(t *testing.T) {
	t.Parallel()
	names := newTable(1, time.Now())
	seen := make([]bool, rangeSize)
	for range rangeSize / 256 * 254 {
		bytes := names.nextAddress().As4()
		place := int(bytes[1]&0x7f)<<16 | int(bytes[2])<<8 | int(bytes[3])
		if bytes[0] != 127 || bytes[1] < 128 || bytes[3] == 0 || bytes[3] == 255 || seen[place] {
			t.Fatalf("%v was given, or was given twice", bytes)
		}
		seen[place] = true
	}
}

// TestTableAfterARestart: a process that is restarted gives other addresses than its
// predecessor, which names may still be known by.
func TestTableAfterARestart(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	former := make(map[netip.Addr]bool)
	first := newTable(mostListeners, begin)
	for i := range mostListeners {
		added, _, err := first.add(fmt.Sprintf("n%d.example", i), begin)
		if err != nil {
			t.Fatal(err)
		}
		former[added.address] = true
	}
	second := newTable(mostListeners, begin.Add(10*time.Second))
	for i := range mostListeners {
		added, _, err := second.add(fmt.Sprintf("m%d.example", i), begin)
		if err != nil {
			t.Fatal(err)
		}
		if former[added.address] {
			t.Fatalf("%s stood for another name before the restart", added.address)
		}
	}
}
