package machines

import (
	"context"
	"time"
)

// A machine that is passed over is tried again after retryFirst, and each further
// time after twice as long, at most retryMost.
const (
	retryFirst = time.Second
	retryMost  = 15 * time.Second
)

func (m *machine) isPassedOver() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problem != nil
}

// passOver sends requests to other machines until this one answers again. Open
// tunnels stay.
func (s *Set) passOver(m *machine, problem error) {
	m.mu.Lock()
	known := m.problem != nil
	m.problem = problem
	drained := m.drained
	m.mu.Unlock()
	if known || drained || s.ctx.Err() != nil {
		return
	}
	s.logger.Warn("a proxy machine is passed over", "machine", m.address, "error", problem,
		"cure", "see the state of the machine with: bootstrap status; it is tried again at least every 15 s")
	s.waiting.Go(func() { s.retry(m) })
}

// retry returns when the machine answers, or the set is drained.
func (s *Set) retry(m *machine) {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
		err := m.answers(s.ctx)
		m.mu.Lock()
		if err != nil {
			m.problem = err
		} else {
			m.problem = nil
		}
		m.mu.Unlock()
		if err == nil {
			s.logger.Info("a proxy machine answers again", "machine", m.address)
			return
		}
	}
}

// answers asks the machine by a connection that it has, or else by a new one, which
// later requests use. A connection that does not answer takes no further streams.
func (m *machine) answers(ctx context.Context) error {
	m.mu.Lock()
	m.forgetEnded()
	conns := m.conns
	m.conns = nil
	m.mu.Unlock()
	for _, c := range conns {
		bounded, cancel := context.WithTimeout(ctx, bound)
		err := c.Ping(bounded)
		cancel()
		if err == nil {
			_ = m.keep(c)
			continue
		}
		c.Drain()
	}
	return m.connect(ctx, nil, bound)
}
