package controller

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/settings"
)

// A proxy that knows tenants by their certificates is asked with the tenant's, and is
// believed only if it has its own certificate.
func TestAskWithCertificate(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authority.pem)
	// As the proxy: the tenant is that of the certificate, and the request is one for a
	// proxy.
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != names.ProbeURL {
			t.Errorf("the request is for %s", r.RequestURI)
		}
		w.Header().Set(names.HeaderTenant, r.TLS.PeerCertificates[0].Subject.CommonName)
		w.Header().Set(names.HeaderRevision, "0123456789abcdef")
		w.WriteHeader(http.StatusForbidden)
	}))
	proxy.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}))
	address := netip.MustParseAddrPort(proxy.Listener.Addr().String())

	const refusal = "refuses the tenant's certificate"
	for name, test := range map[string]struct {
		issuer      *testAuthority
		certificate string // of the machine, in the settings
		want        string // in the error, empty for none
	}{
		"right":               {authority, own, ""},
		"renewed machine":     {authority, string(authority.pem) + own, ""},
		"another machine":     {authority, string(authority.pem), "another certificate than in the chart's value proxy.machines"},
		"unknown authority":   {newAuthority(t), own, refusal},
		"without certificate": {nil, own, "the tenant has no certificate"},
	} {
		asker := certificateAsker{machines: []settings.Machine{{Address: address.Addr(), Certificate: test.certificate}}, identityOf: func(tenant string) *identity {
			if test.issuer == nil {
				return nil
			}
			contents := test.issuer.contents(t, tenant)
			return &identity{certificate: contents[corev1.TLSCertKey], key: contents[corev1.TLSPrivateKeyKey]}
		}}
		answer := portAnswer{}
		config, err := asker.config(address.Addr(), "client-a")
		if err != nil {
			answer.err = err.Error()
		} else {
			answer = askPatiently(func() portAnswer { return askWith(t.Context(), address, config) })
		}
		if test.want == refusal && strings.Contains(answer.err, "connection reset") {
			continue // the reset overtook the alert
		}
		if test.want == "" && (answer.err != "" || answer.tenant != "client-a" || answer.revision == "") || !strings.Contains(answer.err, test.want) {
			t.Errorf("%s: %+v, want the error %q", name, answer, test.want)
		}
	}
	unknown := certificateAsker{identityOf: func(string) *identity { return nil }}
	if answer := unknown.ask(t.Context(), address, "client-a"); !strings.Contains(answer.err, "proxy.machines does not have it") {
		t.Errorf("a machine that is not in the settings: %+v", answer)
	}
}
