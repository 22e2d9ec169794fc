package machines

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/tunnel"
)

// Set is the proxy machines of one configuration and one certificate of the tenant.
// Further ones replace it: a set does not change.
type Set struct {
	machines []*machine // in the order in which this pod tries them
	logger   *slog.Logger
	ctx      context.Context // ends by Drain
	stop     context.CancelFunc
	waiting  sync.WaitGroup // machines that are tried again
}

// New returns the machines of a configuration. Each pod has an order of its own, so
// that pods spread over the machines while each keeps to one.
func New(config *sidecar.Config, certificate *tls.Certificate, logger *slog.Logger) (*Set, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Set{logger: logger, ctx: ctx, stop: stop}
	for _, m := range config.Machines {
		trusted, err := sidecar.ParseCertificates(m.Certificate)
		if err != nil {
			stop()
			return nil, fmt.Errorf("machine %s: certificate %w", m.Address, err)
		}
		s.machines = append(s.machines, &machine{
			address: m.Address.String(), tls: pinned(trusted, certificate, http2Only), tlsHTTP1: pinned(trusted, certificate, http1Only),
		})
	}
	rand.Shuffle(len(s.machines), func(i, j int) { s.machines[i], s.machines[j] = s.machines[j], s.machines[i] }) //nolint:gosec // it spreads load
	return s, nil
}

// Connect connects to the first machine that answers, so that the pod's first tunnel
// does not wait for the handshake, nor for a machine that does not answer. Machines that
// do not answer are passed over. It returns when one has answered, when none is left, or
// after Drain.
func (s *Set) Connect() {
	for _, m := range s.order() {
		err := m.connect(s.ctx, nil, s.patience(m))
		if err == nil || s.ctx.Err() != nil {
			return
		}
		s.passOver(m, err)
	}
}

// Open opens a tunnel to a host and port by the first machine that answers. The
// status of the stream may be any. The error names each machine and its problem.
func (s *Set) Open(ctx context.Context, target string, header http.Header) (*tunnel.Stream, error) {
	var errs []error
	var unserved *tunnel.Stream
	for _, m := range s.order() {
		stream, err := m.open(ctx, target, header, s.patience(m))
		switch {
		case err == nil && !notServed(stream):
			if unserved != nil {
				_ = unserved.Close()
			}
			return stream, nil
		case err == nil:
			if unserved != nil {
				_ = unserved.Close()
			}
			unserved = stream
			continue
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.address, err))
		s.passOver(m, err)
	}
	if unserved != nil {
		return unserved, nil
	}
	return nil, errors.Join(errs...)
}

// errorPage is the header in which Squid names the reason of an answer of its own.
const errorPage = "X-Squid-Error"

// notServed reports whether an answer shows that Squid does not run on the machine:
// it is the answer of HAProxy, which is in front of it.
func notServed(stream *tunnel.Stream) bool {
	return stream.Status >= 500 && stream.Header.Get(errorPage) == ""
}

// order returns the machines in use, and behind them those that are passed over: if
// no machine answers, each request tries all of them.
func (s *Set) order() []*machine {
	var usable, passed []*machine
	for _, m := range s.machines {
		if m.isPassedOver() {
			passed = append(passed, m)
		} else {
			usable = append(usable, m)
		}
	}
	return append(usable, passed...)
}

// State is a machine and whether it is in use.
type State struct {
	Address string
	// Problem is the reason for which the machine is passed over, or empty.
	Problem string
}

// States returns the state of each machine.
func (s *Set) States() []State {
	var states []State
	for _, m := range s.machines {
		m.mu.Lock()
		state := State{Address: m.address}
		if m.problem != nil {
			state.Problem = strings.ReplaceAll(m.problem.Error(), "\n", "; ")
		}
		m.mu.Unlock()
		states = append(states, state)
	}
	return states
}

// Drain ends each connection when its tunnels have ended. The set opens no further
// tunnels.
func (s *Set) Drain() {
	s.stop()
	for _, m := range s.machines {
		m.drain()
	}
	s.waiting.Wait()
}
