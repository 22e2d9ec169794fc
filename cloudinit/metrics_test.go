package cloudinit

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit/squid"
	"egress.scw/webhook/api/policy"
)

// hostile is a value with which a client may try to imitate another tenant's line,
// percent-encoded as Squid writes it.
const hostile = `x%22,%22tenant%22:%22client-b%22,%22verdict%22:%22denied%22,%22rule%22:%22domain%22,%22bytesSent%22:1000000%7D%0A`

// TestMetricsFromAuditLog has mtail read lines of the audit log, and compares all of
// its metrics.
func TestMetricsFromAuditLog(t *testing.T) {
	record := func(tenant string, verdict policy.Verdict, rule policy.Rule, received, sent int64, change ...func(*squid.AuditRecord)) string {
		r := squid.AuditRecord{
			Time: "2026-01-02T03:04:05.678Z", Tenant: tenant, Port: "3129", Client: "172.16.28.16", Method: "CONNECT",
			Host: "a.example", HostPort: "443", Status: 200, Verdict: verdict, Rule: rule, SNI: "-", Result: "TCP_TUNNEL/HIER_DIRECT",
			Error: "-", Server: "192.0.2.10", Egress: "203.0.113.50", BytesReceived: received, BytesSent: sent, DurationMillis: 7,
		}
		for _, c := range change {
			c(&r)
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	lines := []string{
		record("client-a", policy.VerdictAllowed, "-", 100, 2000),
		record("client-a", policy.VerdictAllowed, "-", 1, 3_000_000_000),
		record("client-a", policy.VerdictDenied, policy.RuleDomain, 10, 20),
		record("client-a", policy.VerdictTerminated, policy.RuleSNI, 10, 20),
		record("client-b", policy.VerdictWouldDeny, policy.RulePort, 5, 6),
		record("client-b", "-", "-", 3, 4), // a request that Squid cannot parse
		record("-", "-", "-", 3, 4),        // the same, on the port of Squid's statistics
		// Hostile values, in every field that a client controls, count for client-a.
		record("client-a", policy.VerdictDenied, policy.RuleDomain, 1, 1, func(r *squid.AuditRecord) { r.Host = hostile }),
		record("client-a", policy.VerdictDenied, policy.RuleDomain, 1, 1, func(r *squid.AuditRecord) { r.Method = hostile }),
		record("client-a", policy.VerdictTerminated, policy.RuleSNI, 1, 1, func(r *squid.AuditRecord) { r.SNI = hostile }),
		// If a quote were not encoded, the line would count for no tenant.
		strings.Replace(record("client-a", policy.VerdictDenied, policy.RuleDomain, 1, 1), "a.example", `","tenant":"client-b`, 1),
		`{"time":"2026`, // cut short
	}
	want := []string{
		`egress_proxy_audit_unreadable_lines_total 2`,
		`egress_proxy_denials_total{rule="domain",tenant="client-a"} 3`,
		`egress_proxy_denials_total{rule="sni",tenant="client-a"} 2`,
		`egress_proxy_received_from_clients_bytes_total{tenant="-"} 3`,
		`egress_proxy_received_from_clients_bytes_total{tenant="client-a"} 124`,
		`egress_proxy_received_from_clients_bytes_total{tenant="client-b"} 8`,
		`egress_proxy_requests_total{tenant="-",verdict="-"} 1`,
		`egress_proxy_requests_total{tenant="client-a",verdict="allowed"} 2`,
		`egress_proxy_requests_total{tenant="client-a",verdict="denied"} 3`,
		`egress_proxy_requests_total{tenant="client-a",verdict="terminated"} 2`,
		`egress_proxy_requests_total{tenant="client-b",verdict="-"} 1`,
		`egress_proxy_requests_total{tenant="client-b",verdict="would-deny"} 1`,
		`egress_proxy_sent_to_clients_bytes_total{tenant="-"} 4`,
		`egress_proxy_sent_to_clients_bytes_total{tenant="client-a"} 3.000002043e+09`,
		`egress_proxy_sent_to_clients_bytes_total{tenant="client-b"} 10`,
		`egress_proxy_would_be_denials_total{rule="port",tenant="client-b"} 1`,
	}
	if diff := cmp.Diff(want, metrics(t, lines)); diff != "" {
		t.Errorf("metrics, -want +got:\n%s", diff)
	}
}

// metrics returns the sorted metrics of mtail for these lines, with the machine's programs.
func metrics(t *testing.T, lines []string) []string {
	t.Helper()
	return metricsOf(t, validMachine(), lines)
}

// metricsOf is metrics with the programs of another machine.
func metricsOf(t *testing.T, machine Machine, lines []string) []string {
	t.Helper()
	mtail := mtailBinary(t)
	folder := t.TempDir()
	for _, file := range render(t, machine).Files {
		if path.Dir(file.Path) != "/etc/mtail" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, path.Base(file.Path)), []byte(file.Content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(folder, "log")
	if err := os.WriteFile(log, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var messages strings.Builder
	command := exec.CommandContext(ctx, mtail, "--one_shot", "--one_shot_format=prometheus", "--emit_prog_label=false",
		"--progs", folder, "--logs", log, "--logtostderr", "--unix_socket", filepath.Join(folder, "socket"))
	command.Stderr = &messages
	output, err := command.Output()
	if err != nil {
		t.Fatalf("mtail: %v\n%s", err, messages.String())
	}
	var result []string
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			result = append(result, line)
		}
	}
	slices.Sort(result)
	return result
}

func mtailBinary(t *testing.T) string {
	t.Helper()
	mtail, err := exec.LookPath("mtail")
	if err != nil {
		t.Skip("skipped: there is no mtail on this machine (Debian: apt install mtail)")
	}
	return mtail
}

// TestMetricsKnowEveryFieldOfTheAuditLog: mtail's program lists all fields of a line.
func TestMetricsKnowEveryFieldOfTheAuditLog(t *testing.T) {
	program := contentOf(t, render(t, validMachine()), "/etc/mtail/egress-audit.mtail")
	var got []string
	for _, match := range regexp.MustCompile(`"([A-Za-z]+)":`).FindAllStringSubmatch(program, -1) {
		got = append(got, match[1])
	}
	line, err := json.Marshal(squid.AuditRecord{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, match := range regexp.MustCompile(`"([A-Za-z]+)":`).FindAllStringSubmatch(string(line), -1) {
		want = append(want, match[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields in order, -audit log +program:\n%s", diff)
	}
}
