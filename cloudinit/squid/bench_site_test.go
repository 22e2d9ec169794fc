package squid

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// site is the destination of the benchmarks' requests: two origins on loopback,
// one with TLS. All names resolve to their address.
type site struct {
	port, tlsPort int
	hosts         string // the content of a hosts file
}

func startSite(b *testing.B) site {
	b.Helper()
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })
	plain, encrypted := httptest.NewServer(answer), httptest.NewUnstartedServer(answer)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the errors of tunnels that end without a TLS shutdown
	encrypted.StartTLS()
	b.Cleanup(plain.Close)
	b.Cleanup(encrypted.Close)
	var hosts strings.Builder
	for tenant := range benchTenants {
		for i := range benchDomains {
			fmt.Fprintln(&hosts, "127.0.0.1", benchHost(tenant, i))
		}
	}
	return site{
		port:    plain.Listener.Addr().(*net.TCPAddr).Port,
		tlsPort: encrypted.Listener.Addr().(*net.TCPAddr).Port,
		hosts:   hosts.String(),
	}
}

// benchHost returns one of the hosts that a tenant requests.
func benchHost(tenant, i int) string { return fmt.Sprintf("h%d.customer-%d.example", i, tenant) }

// oneDomain and everyDomain are lists of domains that cover a tenant's hosts.
func oneDomain(tenant int) []string { return []string{fmt.Sprintf(".customer-%d.example", tenant)} }

func everyDomain(tenant int) []string {
	var list []string
	for i := range benchDomains {
		list = append(list, []string{"", "."}[i%2]+benchHost(tenant, i))
	}
	return list
}

// benchSquid is a Squid with one port, or with one port for each tenant.
type benchSquid struct {
	name string
	squidProcess
	proxy   Config
	tenants []v1alpha1.Tenant // one tenant, if there is only one port
}

// startOurs runs Squid with our configuration. The origins are on loopback, on
// arbitrary ports. Both are removed from the lists of forbidden values, while
// the rules stay.
func startOurs(b *testing.B, site site, domains func(tenant int) []string) benchSquid {
	b.Helper()
	proxy := liveProxy(b)
	var tenants []v1alpha1.Tenant
	for i := range benchTenants {
		tenants = append(tenants, withAllow(fmt.Sprintf("t%d", i), int32(names.TenantPortMin+i), &v1alpha1.AllowSpec{
			Domains: domains(i), Ports: []int32{80, 443, int32(site.port), int32(site.tlsPort)},
		}))
	}
	file, err := Render(proxy, tenants)
	if err != nil {
		b.Fatal(err)
	}
	for _, list := range []string{"acl forbidden_address dst -n ", "acl forbidden_destination dst "} {
		file = replaceOnce(b, file, list+"127.0.0.0/8\n", list+"127.0.0.0/32\n")
	}
	file = replaceOnce(b, file, "acl tls_port port 443\n", fmt.Sprintf("acl tls_port port 443 %d\n", site.tlsPort))
	file = replaceOnce(b, file, "hosts_file none\n", "hosts_file "+site.writeHosts(b, proxy)+"\n")
	name := "50-domains"
	if len(domains(0)) > 1 {
		name = "10000-domains"
	}
	return benchSquid{name, startFile(b, proxy, file), proxy, tenants}
}

// startBare runs Squid with a minimal working configuration.
func startBare(b *testing.B, site site) benchSquid {
	b.Helper()
	return startMinimal(b, site, "bare", liveProxy(b), "", "")
}

// startPeeking is startBare with a Squid that reads the TLS hello in each tunnel.
func startPeeking(b *testing.B, site site) benchSquid {
	b.Helper()
	proxy := liveProxy(b)
	option := " ssl-bump generate-host-certificates=off tls-cert=" + proxy.Certificate
	return startMinimal(b, site, "peeking", proxy, option, "acl hello at_step SslBump1\nssl_bump peek hello\nssl_bump splice all\n")
}

func startMinimal(b *testing.B, site site, name string, proxy Config, portOption, directives string) benchSquid {
	b.Helper()
	file := fmt.Sprintf(`http_port %s:%d%s
http_port 127.0.0.1:%d
http_access allow all
cache deny all
pinger_enable off
hosts_file %s
dns_nameservers %s
access_log daemon:%s squid
cache_log %s
pid_filename %s
coredump_dir none
%s`, proxy.ListenAddress, names.TenantPortMin, portOption, proxy.StatusPort, site.writeHosts(b, proxy), proxy.NameServers[0], proxy.AuditLog, proxy.CacheLog, proxy.PIDFile, directives)
	return benchSquid{name, startFile(b, proxy, []byte(file)), proxy, []v1alpha1.Tenant{newTenant("everybody", names.TenantPortMin)}}
}

func (s site) writeHosts(b *testing.B, proxy Config) string {
	b.Helper()
	name := filepath.Join(filepath.Dir(proxy.AuditLog), "hosts")
	if err := os.WriteFile(name, []byte(s.hosts), 0o644); err != nil {
		b.Fatal(err)
	}
	return name
}
