package internet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// openNameServer opens an address for DNS, over UDP and over TCP. On an error
// it returns the services that it has opened so far.
func openNameServer(ctx context.Context, address netip.AddrPort, names *names, events *eventLog) ([]service, error) {
	var config net.ListenConfig
	name := "dns on " + address.String()
	packets, err := config.ListenPacket(ctx, "udp", address.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	udp := nameService(name+" (udp)", &dns.Server{PacketConn: packets, Handler: nameHandler(dnsUDP, names, events)}, packets)
	listener, err := config.Listen(ctx, "tcp", address.String())
	if err != nil {
		return []service{udp}, fmt.Errorf("%s: %w", name, err)
	}
	tcp := nameService(name+" (tcp)", &dns.Server{Listener: events.connections(dnsTCP, listener), Handler: nameHandler(dnsTCP, names, events)}, listener)
	return []service{udp, tcp}, nil
}

func nameHandler(protocol string, names *names, events *eventLog) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		events.query(protocol, w, query)
		answer := names.answer(query)
		size := dns.MinMsgSize
		if option := query.IsEdns0(); option != nil {
			answer.SetEdns0(dns.DefaultMsgSize, false)
			size = int(option.UDPSize())
		}
		if protocol == dnsUDP {
			answer.Truncate(size)
		}
		// The client has disconnected: an error cannot be reported to
		// it.
		_ = w.WriteMsg(answer)
	})
}

func nameService(name string, server *dns.Server, listener io.Closer) service {
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	return service{
		name:     name,
		listener: listener,
		serve:    server.ActivateAndServe,
		shutdown: func(ctx context.Context) error {
			// A server that does not run yet cannot be shut down,
			// and would run for ever.
			select {
			case <-started:
				return server.ShutdownContext(ctx)
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		close: func() error {
			if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		},
	}
}
