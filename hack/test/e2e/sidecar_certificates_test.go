package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/pki"
	"egress.scw/webhook/api/names"
)

// refusedCertificates: from each place of the Private Network, without a certificate of
// the tenant, the proxy attributes no request to it. Refused connections are counted by
// their reasons. A pod of a tenant without a sidecar cannot connect at all.
func refusedCertificates(t *testing.T) {
	_, position, err := shared.Audit(0)
	if err != nil {
		t.Fatal(err)
	}
	refused := refusedByReason(t, byVariables.name)
	places := map[string]string{
		"a pod of another tenant":                podNetns(t, byNames.name),
		"a pod of an unlabelled namespace":       podNetns(t, namespacePlain),
		"the node":                               "/run/netns/" + shared.Plan.Netns(network.Node),
		"another machine of the Private Network": "/run/netns/" + shared.Plan.Netns(network.Gateway),
	}
	before := countRefused(t)
	for place, netns := range places {
		for reason, certificate := range refused {
			if status, err := askWithCertificate(t, netns, certificate); err == nil {
				t.Errorf("from %s, %s: the proxy answers with status %d", place, reason, status)
			}
		}
	}
	eventually(t, "the refused connections to be counted", func() (bool, string) {
		after := countRefused(t)
		for reason := range refused {
			// An earlier connection may be counted after before was read: the proxy refuses
			// sidecars until it has the authority.
			if after[reason] < before[reason]+len(places) {
				return false, fmt.Sprintf("%v, and before %v; there were %d of each", after, before, len(places))
			}
		}
		return true, ""
	})
	// The policies of tenants without sidecars do not admit the port.
	_, err = askWithCertificate(t, podNetns(t, namespaceA), secretCertificate(t, byVariables.name))
	if timeout, isNet := errors.AsType[net.Error](err); !isNet || !timeout.Timeout() {
		t.Errorf("from a pod of a tenant without sidecars: %v, want no connection", err)
	}
	// The controls: each certificate proves its own tenant, whatever the request claims.
	for netns, tenant := range map[string]sidecarTenant{podNetns(t, byNames.name): byNames, podNetns(t, byVariables.name): byVariables} {
		if status, err := askWithCertificate(t, netns, secretCertificate(t, tenant.name)); err != nil || status != http.StatusOK {
			t.Errorf("with the certificate of %s: status %d, %v", tenant.name, status, err)
		}
	}
	attributedOnce(t, position, byNames.name, byVariables.name)
}

// attributedOnce requires that the audit log has one request with madeUpPod's claim for
// each of the tenants, and no other.
func attributedOnce(t *testing.T, position int64, tenants ...string) {
	t.Helper()
	eventually(t, "the audit lines of the controls", func() (bool, string) {
		records, _, err := shared.Audit(position)
		if err != nil {
			t.Fatal(err)
		}
		attributed, all := map[string]int{}, 0
		for _, record := range records {
			if record.ClaimedPod == madeUpPod {
				attributed[record.Tenant]++
				all++
			}
		}
		if all > len(tenants) {
			t.Fatalf("%d requests are attributed, and %d had a certificate: %v", all, len(tenants), records)
		}
		for _, tenant := range tenants {
			if attributed[tenant] != 1 {
				return false, fmt.Sprintf("%v: %v", attributed, records)
			}
		}
		return true, ""
	})
}

// refusedByReason returns certificates that do not prove the tenant, by the reason that
// the metric has for them.
func refusedByReason(t *testing.T, tenant string) map[string]tls.Certificate {
	t.Helper()
	issue := func(authority *pki.Authority, validity time.Duration) tls.Certificate {
		issued, err := authority.Issue(pki.Leaf{User: tenant, Group: names.CertificateOrganization, Validity: validity})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(issued.Public, issued.Key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	stranger, err := pki.NewAuthority(names.AuthorityConfigMap)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pki.OpenAuthority(secretPair(t, "egress-system", names.AuthorityConfigMap))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]tls.Certificate{
		"no-certificate": {}, "unknown-authority": issue(stranger, time.Hour), "certificate-expired": issue(own, -time.Minute),
	}
}

// countRefused returns the metric of the refused connections by reason.
func countRefused(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	text, err := exported(t, names.TenantMetricsPort)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(names.MetricSidecarRefused+`\{reason="([^"]+)"\} (\d+)`).FindAllStringSubmatch(text, -1) {
		counts[match[1]], _ = strconv.Atoi(match[2])
	}
	return counts
}

// secretCertificate is the certificate in the Secret of a tenant's namespace.
func secretCertificate(t *testing.T, namespace string) tls.Certificate {
	t.Helper()
	pair := secretPair(t, namespace, names.SidecarName)
	certificate, err := tls.X509KeyPair(pair.Public, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// secretPair is the certificate and the key in a Secret.
func secretPair(t *testing.T, namespace, name string) pki.Pair {
	t.Helper()
	read := func(key string) []byte {
		return []byte(mustKubectl(t, "--namespace="+namespace, "get", "secret", name, "-o", `go-template={{index .data "`+key+`" | base64decode}}`))
	}
	return pki.Pair{Public: read(names.SidecarCertificateKey), Key: read(names.SidecarPrivateKeyKey)}
}

// podNetns is the path of the network namespace of the probe's pod in a namespace.
func podNetns(t *testing.T, namespace string) string {
	t.Helper()
	id := mustKubectl(t, "--namespace="+namespace, "get", "pods", "-l", "app=probe", "-o", "jsonpath={.items[0].status.containerStatuses[0].containerID}")
	processes := processesOf(t, strings.TrimPrefix(id, "containerd://"))
	if len(processes) == 0 {
		t.Fatalf("no process of the probe in %s (%s)", namespace, id)
	}
	return fmt.Sprintf("/proc/%d/ns/net", processes[0])
}

// madeUpPod is the pod that requests of askWithCertificate claim.
const madeUpPod = "made-up"

// askWithCertificate opens a connection to the proxy's port of sidecars from a network
// namespace, and sends a CONNECT for the IP echo, which claims to be of byVariables. It
// returns the status of the answer.
func askWithCertificate(t *testing.T, netns string, certificate tls.Certificate) (status int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // as the probe's
	defer cancel()
	connection, err := dialFrom(ctx, netns, "tcp", net.JoinHostPort(shared.Plan.ProxyPrivate.String(), strconv.Itoa(names.SidecarPort)))
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	client := tls.Client(connection, &tls.Config{
		MinVersion:           tls.VersionTLS13,
		InsecureSkipVerify:   true, // the test is about the certificate of the client
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
	})
	_ = client.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(client, "CONNECT %[1]s:443 HTTP/1.1\r\nHost: %[1]s:443\r\n%[2]s: %[3]s\r\n%[4]s: %[3]s\r\n%[5]s: %[6]s\r\n\r\n",
		environment.IPEchoName, names.HeaderTenant, byVariables.name, names.HeaderNamespace, names.HeaderPod, madeUpPod); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(client), &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the connection is closed
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}
