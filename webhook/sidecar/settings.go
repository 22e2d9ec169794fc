package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/relay"
)

// settings are the parsed flags and environment of run.
type settings struct {
	pod      relay.Pod
	metrics  string           // address
	dns      []netip.AddrPort // of the DNS server, if names are captured
	ownPorts []uint16         // of the pod's own programs
}

// newSettings reads the environment and checks the flags. The error joins the problems
// of all of them.
func newSettings(o options) (settings, error) {
	var errs []error
	read := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			errs = append(errs, fmt.Errorf("the environment variable %s is missing: set it by the downward API", name))
		}
		return value
	}
	s := settings{pod: relay.Pod{Namespace: read(names.EnvPodNamespace), Name: read(names.EnvPodName)}, metrics: o.metrics}
	if s.metrics == "" {
		s.metrics = net.JoinHostPort(read(names.EnvPodIP), strconv.Itoa(names.SidecarMetricsPort))
	}
	var err error
	if s.ownPorts, err = parsePorts(os.Getenv(names.EnvPodPorts)); err != nil {
		errs = append(errs, fmt.Errorf("the environment variable %s: %w", names.EnvPodPorts, err))
	}
	if address, err := netip.ParseAddrPort(o.listen); err != nil || !address.Addr().IsLoopback() {
		errs = append(errs, fmt.Errorf("--listen %s must be a loopback address with a port: every client of the address acts for the tenant", o.listen))
	}
	address, err := netip.ParseAddrPort(o.dns)
	if err != nil || !address.Addr().IsLoopback() {
		errs = append(errs, fmt.Errorf("--dns %s must be a loopback address with a port: its answers are addresses of this pod", o.dns))
	}
	s.dns = []netip.AddrPort{address, netip.AddrPortFrom(netip.IPv6Loopback(), address.Port())}
	return s, errors.Join(errs...)
}
