package capture

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"egress.scw/webhook/api/names"
)

const (
	// ttl is the time for which the pod's resolvers may keep an answer. It is short,
	// because a place in the table is not freed while an answer may be kept.
	ttl = 5 * time.Second

	// hold is the time from the last answer, or from the end of the last connection,
	// to the time at which a name may lose its place. Java keeps answers for 30 s
	// whatever their TTL (networkaddress.cache.ttl).
	hold = ttl + 35*time.Second
)

// captureRange is the range of the addresses of captured names.
var captureRange = netip.MustParsePrefix(names.CapturedRange)

// rangeSize is the number of addresses of captureRange.
const rangeSize = 1 << 23

// errFull is returned when every name of the table is in use.
var errFull = errors.New("the table of captured names is full, and each of them was in use within the last 40 s")

// table gives each name an address of its own. It is bounded, and not safe for
// concurrent use.
type table struct {
	most   int    // names
	next   uint32 // the place in captureRange that is given next
	byName map[string]*entry
	byAddr map[netip.Addr]*entry
}

// entry is a captured name.
type entry struct {
	name      string
	address   netip.Addr
	lastUse   time.Time // the last answer, or the end of the last connection
	open      int       // connections
	listeners map[uint16]*listener
}

// newTable returns a table of at most so many names. The first address follows from
// the time, so that a process that is restarted does not soon give addresses that its
// predecessor gave to other names: 128 a second are more than a table gives for long,
// and come round after 18 hours.
func newTable(most int, now time.Time) *table {
	first := uint32(now.Unix()*128) & (rangeSize - 1) //nolint:gosec // the low bits
	return &table{most, first, make(map[string]*entry), make(map[netip.Addr]*entry)}
}

// find returns the entry of a name, or nil, and notes an answer.
func (t *table) find(name string, now time.Time) *entry {
	found := t.byName[name]
	if found != nil {
		found.lastUse = now
	}
	return found
}

// add gives a new name an address. In a full table, the name that was not used for the
// longest time loses its place, and its entry is returned too.
func (t *table) add(name string, now time.Time) (added, freed *entry, err error) {
	if len(t.byName) >= t.most {
		if freed = t.unused(now); freed == nil {
			return nil, nil, errFull
		}
		t.remove(freed)
	}
	added = &entry{name: name, address: t.nextAddress(), lastUse: now, listeners: make(map[uint16]*listener)}
	t.byName[name], t.byAddr[added.address] = added, added
	return added, freed, nil
}

// unused returns the entry that was not used for the longest time and may lose its
// place, or nil.
func (t *table) unused(now time.Time) *entry {
	if oldest := t.oldest(); oldest != nil && now.Sub(oldest.lastUse) > hold {
		return oldest
	}
	return nil
}

// surplus returns the entry that loses its place because the table has more of them than
// it may, or nil. It may still be in a program's memory, but has no connection.
func (t *table) surplus() *entry {
	if len(t.byName) <= t.most {
		return nil
	}
	return t.oldest()
}

// oldest returns the entry without a connection that was not used for the longest time,
// or nil.
func (t *table) oldest() *entry {
	var oldest *entry
	for _, e := range t.byName {
		if e.open == 0 && (oldest == nil || e.lastUse.Before(oldest.lastUse)) {
			oldest = e
		}
	}
	return oldest
}

func (t *table) remove(e *entry) {
	delete(t.byName, e.name)
	delete(t.byAddr, e.address)
}

// contains reports whether an entry still has its place.
func (t *table) contains(e *entry) bool { return t.byAddr[e.address] == e }

// nextAddress returns the address that was given least recently. The first and the last
// address of each 256 are left out: programs may take them for those of a network.
func (t *table) nextAddress() netip.Addr {
	for {
		place := t.next
		t.next = (t.next + 1) & (rangeSize - 1)
		var bytes [4]byte
		first := captureRange.Addr().As4()
		binary.BigEndian.PutUint32(bytes[:], binary.BigEndian.Uint32(first[:])+place)
		address := netip.AddrFrom4(bytes)
		if bytes[3] != 0 && bytes[3] != 255 && t.byAddr[address] == nil {
			return address
		}
	}
}
