package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/bounded"
)

const (
	// mostStreams is the number of connections to the DNS server by TCP.
	mostStreams = 64
	// largestUDP is the size of the largest answer by UDP, if the program accepts it:
	// the loopback interface does not fragment it.
	largestUDP = 4096
)

// servers are the DNS servers of a Capture.
type servers struct {
	lock sync.Mutex
	all  []*dns.Server
}

// Listen starts the DNS server on addresses, by UDP and TCP. The first is the nameserver
// of the pod's resolv.conf; further ones are left out if the pod does not have them. If
// it returns an error, nothing listens, and it can be called again.
func (c *Capture) Listen(ctx context.Context, addresses []netip.AddrPort) error {
	for i, address := range addresses {
		err := c.serveDNS(ctx, address.String())
		if err == nil || i > 0 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
			continue
		}
		c.servers.shutdown(ctx)
		if errors.Is(err, syscall.EACCES) {
			err = fmt.Errorf("%w: set the sysctl net.ipv4.ip_unprivileged_port_start=0 in the pod's securityContext", err)
		}
		return err
	}
	return nil
}

// serveDNS serves DNS on an address, by UDP and TCP.
func (c *Capture) serveDNS(ctx context.Context, address string) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	packets, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return fmt.Errorf("the DNS server cannot listen: %w", err)
	}
	streams, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("the DNS server cannot listen: %w", err)
	}
	c.start(&dns.Server{PacketConn: packets, UDPSize: udpSize})
	c.start(&dns.Server{Listener: bounded.New(streams, mostStreams)})
	return nil
}

// start starts a server, and returns when it serves.
func (c *Capture) start(server *dns.Server) {
	started, ended := make(chan struct{}), make(chan struct{})
	server.Handler = dns.HandlerFunc(c.respond)
	server.MsgAcceptFunc = acceptQuery
	server.ReadTimeout, server.WriteTimeout = 5*time.Second, 5*time.Second
	server.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(ended)
		if err := server.ActivateAndServe(); err != nil {
			c.log.Error("the DNS server ended", "error", err)
		}
	}()
	select {
	case <-started:
	case <-ended:
	}
	c.servers.lock.Lock()
	defer c.servers.lock.Unlock()
	c.servers.all = append(c.servers.all, server)
}

// shutdown ends the servers. It waits a moment for answers on their way.
func (s *servers) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, server := range s.all {
		_ = server.ShutdownContext(ctx) // an error is the timeout
	}
	s.all = nil
}

// acceptQuery admits queries with one question.
func acceptQuery(header dns.Header) dns.MsgAcceptAction {
	action := dns.DefaultMsgAcceptFunc(header)
	if opcode := int(header.Bits>>11) & 0xf; action == dns.MsgAccept && opcode != dns.OpcodeQuery {
		return dns.MsgRejectNotImplemented
	}
	return action
}

// respond answers a query within the size that its program accepts.
func (c *Capture) respond(w dns.ResponseWriter, query *dns.Msg) {
	reply := c.answer(c.tunnels, query)
	_, isUDP := w.RemoteAddr().(*net.UDPAddr)
	reply.Truncate(replySize(query, isUDP))
	_ = w.WriteMsg(reply) // the program asks again
}

// replySize is the largest size of an answer, in bytes.
func replySize(query *dns.Msg, isUDP bool) int {
	option := query.IsEdns0()
	switch {
	case !isUDP:
		return dns.MaxMsgSize
	case option == nil:
		return dns.MinMsgSize
	default:
		return min(max(int(option.UDPSize()), dns.MinMsgSize), largestUDP)
	}
}
