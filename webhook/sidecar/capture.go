package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	api "egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/capture"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/relay"
)

const (
	// resolvConf is the pod's own, which the kubelet writes.
	resolvConf = "/etc/resolv.conf"
	// listenRetry is the time after which the DNS server tries again to listen: a
	// program of the pod may have taken its port while the sidecar was restarted.
	listenRetry = 5 * time.Second
)

// capturing is the capture of names, from the first files that have one.
type capturing struct {
	dns      []netip.AddrPort
	ownPorts []uint16
	relay    *relay.Relay
	logger   *slog.Logger

	serves   atomic.Pointer[capture.Capture] // nil: without capture
	retrying sync.WaitGroup
}

// use takes the configuration of new files. One goroutine calls it. Files without
// capture change nothing: pods that were created with it need it until they end.
func (c *capturing) use(ctx context.Context, file *api.Capture) {
	if file == nil {
		return
	}
	config := capture.Config{
		Ports: file.Ports, OwnPorts: c.ownPorts, ClusterDomain: file.ClusterDomain,
		Direct: file.Direct, Ranges: file.Ranges, Resolvers: file.Resolvers,
	}
	var err error
	if config.Search, err = capture.SearchDomains(resolvConf); err != nil {
		c.logger.Warn("names are captured without the search domains of the pod", "error", err)
	}
	if serves := c.serves.Load(); serves != nil {
		serves.Reload(config)
		return
	}
	serves := capture.New(config, proxy{c.relay}, c.logger)
	c.serves.Store(serves)
	if c.listen(ctx, serves) {
		return
	}
	c.retrying.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(listenRetry):
			}
			if c.listen(ctx, serves) {
				return
			}
		}
	})
}

// listen reports whether the DNS server listens from now on.
func (c *capturing) listen(ctx context.Context, serves *capture.Capture) bool {
	err := serves.Listen(ctx, c.dns)
	if err != nil {
		c.relay.ReportCapture(err.Error())
		c.logger.Error("names are not captured, and the pod's programs resolve none", "error", err,
			"cure", "the port of the DNS server belongs to the sidecar: let no program of the pod listen on it; it tries again every "+listenRetry.String())
		return false
	}
	c.relay.ReportCapture(relay.InUse)
	c.logger.Info("names are captured", "dns", c.dns[0].String())
	return true
}

// shutdown returns when captured connections have ended, or resets them when the second
// context ends. The first one, that of use, has ended.
func (c *capturing) shutdown(bound context.Context) {
	c.retrying.Wait()
	if serves := c.serves.Load(); serves != nil {
		serves.Shutdown(bound)
	}
}

// state returns the figures of the capture, nil without one.
func (c *capturing) state() *metrics.Capture {
	serves := c.serves.Load()
	if serves == nil {
		return nil
	}
	stats := serves.Stats()
	return &metrics.Capture{Names: stats.Names, Connections: stats.Connections}
}

// proxy is the relay as the capture uses it.
type proxy struct{ *relay.Relay }

// Tunnel implements capture.Proxy.
func (p proxy) Tunnel(ctx context.Context, host string, port uint16) (capture.Stream, error) {
	stream, refused := p.Relay.Tunnel(ctx, host, port)
	if refused != nil {
		return nil, &capture.Refusal{Status: refused.Status, Reason: refused.Reason, Cure: refused.Cure}
	}
	return stream, nil
}

// parsePorts reads a list of ports that are separated by commas. An empty text has none.
func parsePorts(text string) ([]uint16, error) {
	if text == "" {
		return nil, nil
	}
	var ports []uint16
	for part := range strings.SplitSeq(text, ",") {
		port, err := strconv.ParseUint(part, 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("%q is not a port; ports are separated by commas, without spaces", part)
		}
		ports = append(ports, uint16(port))
	}
	return ports, nil
}
