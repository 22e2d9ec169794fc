package squid

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// hostileTexts are texts that an attacker may enter as a domain or as a tenant's
// name, to inject text into the file or to remove text from it. Some are valid.
func hostileTexts() []string {
	label := strings.Repeat("a", 63)
	texts := []string{
		"a.test", ".b.test", "Upper.TEST", "dot.test.", ".dots.test..", label, label + ".test", label + "a.test", strings.Repeat("a.", 126) + "a", "bücher.test", "under_score.test", "_a.test", "xn--bcher-kva.test", "XN--80AK6AA92E.test", "xn--a.test",
		"none", "all", "manager", "localhost", "single", "com", ".com", ".test", "test", ".", "..", "*", "*.a.test", "a..test", "n", "x-n", "-n", "-n.test", "--", "n-.test", "0", "0.test", "l_3255", "d_3255", "manager_port",
		"a\nhttp_access allow all", "a.test\r\nhttp_access allow all", "a.test\rb", "a\tb.test", "a b.test", " a.test", "a.test ", "a\x00b.test", "a\x7f.test",
		`"/etc/passwd"`, `"a.test"`, `'a.test'`, "`id`.test", `a.test\`, "a\\\n.test", "#a.test", "a#b.test", "a.test#", "%41.test", "a%2e.test", "${service_name}", "$(id).test", "a;b.test", "a,b.test", "a|b.test", "a/b.test", "a:80", "a@b.test",
		"a。test", "a．test", "ａ.test", "a\u200b.test", "a\u2028.test", "\u202ea.test", "ß.test", "İ.test", "☃.test", "\xff.test", "regex:(.*)", "(.*)", "[a-z].test", "^a", "ssl::server_name",
	}
	return append(texts, slices.Concat(forbiddenHosts(), strings.Fields("192.0.2.10 3221225994 0xC000020A 0300.0.2.012 192.522 192.0.2.10. 192.0.2.0/24 192.0.2.10-192.0.2.20 [2001:db8::1] 2001:db8::1 ::/0"))...)
}

// processed returns the directives that the real Squid reports for a file. It
// fails the test if Squid complains of any.
func processed(t *testing.T, binary string, file []byte) []string {
	t.Helper()
	folder := t.TempDir()
	name, certificate, named := filepath.Join(folder, "squid.conf"), writeCertificate(t, folder), validProxy().Certificate
	writer, namedWriter := "logfile_daemon "+copyAuditWriter(t, folder), "logfile_daemon "+validProxy().AuditWriter
	file = bytes.ReplaceAll(file, []byte("="+named+" "), []byte("="+certificate+" "))
	file = bytes.ReplaceAll(file, []byte(namedWriter+"\n"), []byte(writer+"\n"))
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary, "-k", "parse", "-n", serviceName(), "-f", name).CombinedOutput()
	if found := complaints(output); err != nil || len(found) > 0 {
		t.Fatalf("squid -k parse: %v: %s", err, strings.Join(found, "\n"))
	}
	var lines []string
	for line := range strings.Lines(string(output)) {
		if _, directive, found := strings.Cut(line, "| Processing: "); found {
			directive = strings.ReplaceAll(strings.TrimSuffix(directive, "\n"), "="+certificate+" ", "="+named+" ")
			lines = append(lines, strings.ReplaceAll(directive, writer, namedWriter))
		}
	}
	return lines
}

// FuzzSquidReads compares values that pass validation with the real Squid's
// parse of them: exactly the expected directives, and no complaint.
func FuzzSquidReads(f *testing.F) {
	for i, text := range hostileTexts() {
		mode := []string{"Enforce", "Report"}[i%2]
		f.Add("client-a", text, "."+strings.TrimPrefix(text, "."), int32(443), mode)
		f.Add(text, "a.test", "x."+text, int32(8080), mode)
	}
	f.Add("client-a", "", "", int32(65535), "Open")
	f.Fuzz(func(t *testing.T, name, one, other string, port int32, mode string) {
		tenant := newTenant(name, names.TenantPortMin)
		tenant.Allow = &v1alpha1.AllowSpec{Mode: policy.Mode(mode), Ports: []int32{port}}
		for _, text := range []string{one, other} {
			if text != "" {
				tenant.Allow.Domains = append(tenant.Allow.Domains, text)
			}
		}
		neighbour := withAllow("client-z", names.TenantPortMax, &v1alpha1.AllowSpec{Domains: []string{".neighbour.test"}})
		tenants := []v1alpha1.Tenant{tenant, neighbour}
		file, err := Render(validProxy(), tenants)
		if err != nil {
			if name == "client-a" && one == "a.test" && other == "."+one && port == 443 { // the first seed; if it is refused, Squid's parsing is not tested
				t.Errorf("good values are refused: %v", err)
			}
			return
		}
		if diff := cmp.Diff(expectedDirectives(t, validProxy(), tenants), processed(t, squidBinary(t), file)); diff != "" {
			t.Errorf("directives that Squid reads, -want +got:\n%s", diff)
		}
	})
}

// TestHostileNeighbours runs a Squid with three tenants among hostile ones, as
// many as there are ports for. Each hostile tenant lists a domain or has a name
// with the greatest potential harm of all valid ones. The three tenants get the
// decisions of Decide, a function without access to the other tenants.
func TestHostileNeighbours(t *testing.T) {
	proxy := liveProxy(t)
	domains := []string{".victim.test", "single.victim2.test"}
	victims := []v1alpha1.Tenant{
		withAllow("m-enforce", names.TenantPortMax, &v1alpha1.AllowSpec{Domains: domains}),
		withAllow("m-report", names.TenantPortMax-1, &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: domains}),
		withAllow("m-open", names.TenantPortMax-2, &v1alpha1.AllowSpec{Mode: policy.ModeOpen}),
	}
	neighbours, hosts := hostileNeighbours(t, names.TenantPortMax-3)
	hosts = append(hosts, "victim.test", "a.victim.test", "badvictim.test", "victim.test.other", "single.victim2.test", "x.single.victim2.test", "VICTIM.test.")
	tenants := slices.Concat(neighbours, victims)
	startFile(t, proxy, withHosts(t, proxy, tenants, allowed, hosts))

	// These are not in Squid's hosts file.
	hosts = append(append(hosts, forbiddenHosts()...), "192.0.2.10", "3221225994", "[::ffff:192.0.2.10]")
	var want, got []policy.Decision
	var asked []string
	for _, victim := range victims {
		for _, host := range hosts {
			for _, method := range []string{http.MethodGet, http.MethodConnect} {
				port := map[string]uint16{http.MethodGet: 80, http.MethodConnect: 443}[method]
				if _, err := askFor(t.Context(), proxy, victim, method, host, port); err != nil {
					t.Fatalf("%s: %s %s: %v", victim.Name, method, host, err)
				}
				decision := victim.AllowList().Decide(method, host, port)
				if decision.Rule == "" {
					decision.Rule = "-"
				}
				want, asked = append(want, decision), append(asked, fmt.Sprintf("%s: %s %s", victim.Name, method, host))
			}
		}
	}
	for _, record := range readAudit(t, proxy.AuditLog, len(want)) {
		got = append(got, policy.Decision{Verdict: record.Verdict, Rule: record.Rule})
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: %+v, want %+v", asked[i], got[i], want[i])
		}
	}
	t.Logf("%d requests between %d neighbours", len(want), len(neighbours))
}

// hostileNeighbours returns tenants with hostile texts that are valid, on ports
// up to the last one, and the hosts that they list.
func hostileNeighbours(t *testing.T, last int32) (neighbours []v1alpha1.Tenant, hosts []string) {
	t.Helper()
	port := int32(names.TenantPortMin)
	add := func(tenant v1alpha1.Tenant) bool {
		// Names sort before and after the victims' names.
		if _, err := Render(validProxy(), []v1alpha1.Tenant{tenant}); err != nil || port > last || hasName(neighbours, tenant.Name) {
			return false
		}
		neighbours = append(neighbours, tenant)
		port++
		return true
	}
	for i, text := range hostileTexts() {
		mode := []policy.Mode{policy.ModeEnforce, policy.ModeReport}[i%2]
		name := fmt.Sprintf("%s%d", []string{"a", "z"}[i%2], i)
		add(withAllow(text, port, &v1alpha1.AllowSpec{Mode: mode, Domains: []string{".test", "victim.other"}}))
		if !add(withAllow(name, port, &v1alpha1.AllowSpec{Mode: mode, Domains: []string{text}})) {
			continue
		}
		domain, err := policy.ParseDomain(text)
		if err != nil {
			t.Fatal(err)
		}
		host := strings.TrimPrefix(domain.String(), ".")
		if _, err := netip.ParseAddr(host); err != nil {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) < 15 || len(neighbours) < 25 {
		t.Fatalf("%d tenants with %d valid texts: too few for a test", len(neighbours), len(hosts))
	}
	slices.Sort(hosts)
	return neighbours, slices.Compact(hosts)
}

func hasName(tenants []v1alpha1.Tenant, name string) bool {
	return slices.ContainsFunc(tenants, func(t v1alpha1.Tenant) bool { return t.Name == name })
}
