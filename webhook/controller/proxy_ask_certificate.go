package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/settings"
)

// errOtherMachine is the error of a machine that does not have the certificate of the
// settings.
var errOtherMachine = errors.New("it has another certificate than in the chart's value proxy.machines: upgrade the chart with the values.yaml that bootstrap apply writes")

// certificateAsker asks proxies that know tenants by certificates alone: on the port of
// sidecars, with the certificate of the tenant.
type certificateAsker struct {
	// identityOf returns the certificate of a tenant, nil if it has none.
	identityOf func(tenant string) *identity
	machines   []settings.Machine
}

// ask asks the proxy about a tenant. The port is the tenant's, which is not opened.
func (a certificateAsker) ask(ctx context.Context, proxy netip.AddrPort, tenant string) portAnswer {
	config, err := a.config(proxy.Addr(), tenant)
	if err != nil {
		return portAnswer{asked: time.Now(), err: err.Error()}
	}
	address := netip.AddrPortFrom(proxy.Addr(), names.SidecarPort)
	return askTwice(ctx, func() portAnswer { return askWith(ctx, address, config) })
}

// askWith asks on a port that speaks TLS. Plain HTTP through it is HTTP/1.1.
func askWith(ctx context.Context, address netip.AddrPort, config *tls.Config) portAnswer {
	return askBy(ctx, &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "https", Host: address.String()}), TLSClientConfig: config,
	})
}

// config returns the configuration of TLS of a sidecar of the tenant.
func (a certificateAsker) config(address netip.Addr, tenant string) (*tls.Config, error) {
	i := slices.IndexFunc(a.machines, func(machine settings.Machine) bool { return machine.Address == address })
	if i < 0 {
		return nil, errors.New("the chart's value proxy.machines does not have it: run bootstrap apply, and upgrade the chart with the values.yaml that it writes")
	}
	id := a.identityOf(tenant)
	if id == nil {
		return nil, errors.New("the tenant has no certificate, without which this proxy serves no tenant: see the condition SidecarReady, or set spec.sidecar")
	}
	pair, err := tls.X509KeyPair(id.certificate, id.key)
	if err != nil {
		return nil, err
	}
	known, err := sidecar.ParseCertificates(a.machines[i].Certificate)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		InsecureSkipVerify: true, //nolint:gosec // verified as sidecars do, below
		VerifyConnection: func(state tls.ConnectionState) error {
			if !slices.ContainsFunc(known, state.PeerCertificates[0].Equal) {
				return errOtherMachine
			}
			return nil
		},
	}, nil
}
