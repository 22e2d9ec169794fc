package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
)

// capturing is a tenant whose list has the ports of the servers beside those of the web.
var capturing = sidecarTenant{
	"e2e-capture", "3142", "{domains: [" + environment.IPEchoName + ", " + environment.ServersName + "], ports: [22, 80, 443, 5432, 6379]}",
	"sidecar: {capture: Names}", true,
}

// Pods of TestCapturedPrograms.
const (
	capturedPod = "captured"
	// optedOutPod is in the same namespace, and has no sidecar.
	optedOutPod = "opted-out"
	// openNamespace has no tenant.
	openNamespace, openPod = "e2e-capture-open", "open"
)

// Programs that read no proxy variables, with no setting of their own: PostgreSQL's
// psql, Redis' client and SSH with real servers in the internet, and clients of the web.
// They reach the hosts in the tenant's list by the sidecar, and no others. Without the
// sidecar, the NetworkPolicy blocks them; without a tenant, they reach all.
func TestCapturedPrograms(t *testing.T) {
	requireEnvironment(t)
	importClients(t)
	startServers(t)
	deployCaptured(t)
	programs := capturedPrograms(t)
	t.Run("without a tenant", func(t *testing.T) {
		for _, p := range programs {
			eventually(t, "an answer to "+p.name, func() (bool, string) {
				out, err := p.run(t, openNamespace, openPod, p.host)
				return err == nil, fmt.Sprintf("%q, %v; the servers printed: %s", out, err, shared.ServersLog())
			})
		}
	})
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			reachesCaptured(t, p)
			if p.port != 80 { // the answer is a page, which not all programs take for a failure
				deniedCaptured(t, p)
			}
		})
	}
	t.Run("without the sidecar", func(t *testing.T) { blockedWithoutSidecar(t, programs) })
}

// reachesCaptured requires that the program reaches its target from the captured pod, and
// that the audit log has the tenant, the pod and the tenant's address.
func reachesCaptured(t *testing.T, p capturedProgram) {
	t.Helper()
	_, position, err := shared.Audit(0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer to "+p.name+" by the sidecar", func() (bool, string) {
		out, err := p.run(t, capturing.name, capturedPod, p.host)
		return err == nil, fmt.Sprintf("%q, %v", out, err)
	})
	method := "CONNECT"
	if p.port == 80 {
		method = "GET"
	}
	awaitCaptured(t, position, func(line environment.AuditLine) bool {
		return line.Method == method && line.Host == p.host && line.HostPort == strconv.Itoa(p.port) &&
			line.Verdict == policy.VerdictAllowed && line.Egress == egressAddress(t, capturing.name)
	})
}

// deniedCaptured requires that the program fails for a host that is not in the list. The
// log of the sidecar and the audit log have the reason.
func deniedCaptured(t *testing.T, p capturedProgram) {
	t.Helper()
	_, position, err := shared.Audit(0)
	if err != nil {
		t.Fatal(err)
	}
	host := p.id + ".unlisted.example.net"
	if out, err := p.run(t, capturing.name, capturedPod, host); err == nil {
		t.Errorf("%s: %q, and no error", host, out)
	}
	awaitCaptured(t, position, func(line environment.AuditLine) bool {
		return line.Host == host && line.HostPort == strconv.Itoa(p.port) && line.Verdict == policy.VerdictDenied && line.Rule == policy.RuleDomain
	})
	logged := fmt.Sprintf(`"name":%q,"port":%d,"status":403,"reason":"the rules of the tenant do not permit the target","cure":"`, host, p.port)
	eventually(t, "the reason in the sidecar's log", func() (bool, string) {
		log, err := kubectl(t.Context(), "--namespace="+capturing.name, "logs", capturedPod, "--container="+names.SidecarName)
		return err == nil && strings.Contains(log, logged), fmt.Sprint(log, err)
	})
}

// awaitCaptured waits for a line of the audit log that is attributed to the captured pod.
func awaitCaptured(t *testing.T, position int64, is func(environment.AuditLine) bool) {
	t.Helper()
	eventually(t, "the line of the audit log", func() (bool, string) {
		lines, _, err := shared.Audit(position)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(lines, func(line environment.AuditLine) bool {
			return line.Tenant == capturing.name && line.ClaimedNamespace == capturing.name && line.ClaimedPod == capturedPod && is(line)
		}), fmt.Sprintf("%+v", lines)
	})
}

// blockedWithoutSidecar requires that no program reaches its target from the pod without
// the sidecar, and that no packet of theirs arrives.
func blockedWithoutSidecar(t *testing.T, programs []capturedProgram) {
	const seconds = 10
	var script strings.Builder
	for _, p := range programs {
		fmt.Fprintf(&script, "(timeout --signal=KILL %d sh -c %s >/dev/null 2>&1 </dev/null; echo \"%s: $?\") &\n", seconds, quoted(p.command(p.host)), p.name)
	}
	before := arrivedAtServers(t)
	out, err := kubectl(t.Context(), "--namespace="+capturing.name, "exec", optedOutPod, "--", "sh", "-c", script.String()+"wait")
	if err != nil {
		t.Fatal(err)
	}
	if count := len(lines(out)); count != len(programs) {
		t.Errorf("%d of %d programs ended:\n%s", count, len(programs), out)
	}
	for _, line := range lines(out) {
		if name, succeeded := strings.CutSuffix(line, ": 0"); succeeded {
			t.Errorf("%s reaches its target without the sidecar", name)
		}
	}
	if after := arrivedAtServers(t); after != before {
		t.Errorf("%d packets arrived at the servers", after-before)
	}
}
