package endpoint

import (
	"net"
	"testing"
	"time"
)

// TestSurplus: at the bound, the connection is closed that has waited longest for
// its client, of the client with the most waiting connections. One that is being
// answered is not closed.
func TestSurplus(t *testing.T) {
	t.Parallel()
	type state struct {
		client   string
		answered bool
		waits    int // for so many seconds
	}
	for name, test := range map[string]struct {
		open    []state
		surplus int // index in open, or len(open) for the new connection, of client new
	}{
		"the oldest of one client":                   {[]state{{"a", false, 1}, {"a", false, 3}, {"a", false, 2}}, 1},
		"of the client with the most":                {[]state{{"a", false, 9}, {"b", false, 1}, {"b", false, 2}}, 2},
		"connections that are answered do not count": {[]state{{"a", true, 9}, {"a", true, 9}, {"a", false, 1}, {"b", false, 1}, {"b", false, 2}}, 4},
		"all are answered":                           {[]state{{"a", true, 9}, {"b", true, 9}}, 2},
		"the new one is of the client with the most": {[]state{{"new", true, 9}, {"new", false, 9}, {"b", false, 99}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			l := newListener(nil, len(test.open))
			connect := func(s state) *connection {
				return &connection{listener: l, client: s.client, answered: s.answered, waitsSince: now.Add(-time.Duration(s.waits) * time.Second)}
			}
			var all []*connection
			for _, s := range test.open {
				c := connect(s)
				all = append(all, c)
				if surplus := l.add(c); surplus != nil {
					t.Fatalf("a connection of %s is closed below the bound", surplus.client)
				}
			}
			all = append(all, connect(state{"new", false, 0}))
			got := l.add(all[len(all)-1])
			if got != all[test.surplus] {
				t.Errorf("the closed connection is %+v, want number %d", got, test.surplus)
			}
			if len(l.open) != len(test.open) {
				t.Errorf("%d connections are open, want %d", len(l.open), len(test.open))
			}
		})
	}
}

// TestClose: a closed connection frees its place, whoever closes it first.
func TestClose(t *testing.T) {
	t.Parallel()
	l := newListener(nil, 1)
	server, client := net.Pipe()
	defer client.Close()
	c := &connection{Conn: server, listener: l}
	l.add(c)
	for range 2 {
		_ = c.Close()
	}
	if len(l.open) != 0 {
		t.Errorf("%d connections are open", len(l.open))
	}
}
