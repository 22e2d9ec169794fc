package machines

import "time"

// A machine must answer a new connection, and give a sign of life while a request waits
// for it, in a bounded time. The last one in use has more: no other machine would answer
// instead, and a machine that is busy, or lost a packet, answers within it.
const (
	bound     = time.Second
	lastBound = 5 * time.Second
)

// Patience returns the time that a machine has for a sign of life, so that a request may
// wait for it. A machine that the set does not have has none.
func (s *Set) Patience(address string) time.Duration {
	if m := s.find(address); m != nil {
		return s.patience(m)
	}
	return 0
}

func (s *Set) patience(m *machine) time.Duration {
	order := s.order()
	last := order[len(order)-1]
	for _, other := range order {
		if !other.isPassedOver() {
			last = other
		}
	}
	if m == last {
		return lastBound
	}
	return bound
}
