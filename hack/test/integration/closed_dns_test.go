package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
)

// closedDNSName is the name of the chart's objects.
const closedDNSName = releaseName + "-dns"

// startClosedDNS runs CoreDNS with the chart's configuration and the rights of its
// ServiceAccount, on loopback, and returns its address.
func startClosedDNS(t *testing.T) string {
	t.Helper()
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := builder.Build(t.Context(), programs.CoreDNS())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := writeServiceAccountKubeconfig(t.Context(), shared.cluster, closedDNSName, kubeconfig); err != nil {
		t.Fatal(err)
	}
	var configuration corev1.ConfigMap
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: closedDNSName}, &configuration); err != nil {
		t.Fatal(err)
	}
	var ports [3]string
	for i := range ports {
		port, err := shared.cluster.FreePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = strconv.Itoa(port)
	}
	corefile := strings.NewReplacer(
		":1053", ":"+ports[0], "health :8080", "health 127.0.0.1:"+ports[1], "ready :8181", "ready 127.0.0.1:"+ports[2],
		"/etc/coredns", dir, "pods insecure", "pods insecure\n        kubeconfig "+kubeconfig, " {\n    errors", " {\n    bind 127.0.0.1\n    errors",
	).Replace(configuration.Data["Corefile"])
	for name, content := range map[string]string{"Corefile": corefile, "root.zone": configuration.Data["root.zone"]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server, err := shared.cluster.Environment.Start(process.Command{Name: "closed-dns", Path: binary, Args: []string{"-conf", filepath.Join(dir, "Corefile")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.cluster.Environment.Stop(context.Background(), time.Second, "closed-dns"); err != nil {
			t.Error(err)
		}
	})
	address := net.JoinHostPort("127.0.0.1", ports[0])
	eventually(t, "the DNS server", func(ctx context.Context) (bool, string) {
		if !server.Alive() {
			t.Fatalf("it has ended; the end of its log:\n%s", shared.cluster.Environment.Tail("closed-dns"))
		}
		answer, err := lookUp(ctx, address, "kubernetes.default.svc.cluster.local.", dns.TypeA)
		return err == nil && len(answer.Answer) == 1, fmt.Sprint(answer, err)
	})
	return address
}

// lookUp asks the server, which runs: on loopback no question is lost, and a busy machine
// may answer late.
func lookUp(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	client := dns.Client{Timeout: timeout}
	answer, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, kind), server)
	return answer, err
}

// TestClosedDNSAnswers: the chart's DNS server resolves names of the cluster. All others
// do not exist, also those that a Service of type ExternalName leads to.
func TestClosedDNSAnswers(t *testing.T) {
	server := startClosedDNS(t)
	namespace := newNamespace(t, "client-a")
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "outside"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "data.example.com"},
	}
	if err := shared.client.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	outside := "outside." + namespace + ".svc.cluster.local."
	eventually(t, "the Service", func(ctx context.Context) (bool, string) {
		answer, err := lookUp(ctx, server, outside, dns.TypeCNAME)
		return err == nil && len(answer.Answer) == 1, fmt.Sprint(answer, err)
	})
	for name, test := range map[string]struct {
		name    string
		kind    uint16
		rcode   int
		records int
	}{
		"a Service":             {"kubernetes.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 1},
		"its address":           {"1.0.96.10.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, 1},
		"no Service":            {"none." + namespace + ".svc.cluster.local.", dns.TypeA, dns.RcodeNameError, 0},
		"a name outside":        {"data.example.com.", dns.TypeA, dns.RcodeNameError, 0},
		"a record outside":      {"data.example.com.", dns.TypeTXT, dns.RcodeNameError, 0},
		"an address outside":    {"1.2.0.192.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, 0},
		"an ExternalName":       {outside, dns.TypeA, dns.RcodeSuccess, 1}, // the CNAME alone
		"a name with no domain": {"data.", dns.TypeA, dns.RcodeNameError, 0},
	} {
		answer, err := lookUp(t.Context(), server, test.name, test.kind)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer.Rcode != test.rcode || len(answer.Answer) != test.records {
			t.Errorf("%s: %s with %d records, want %s with %d:\n%s", name, dns.RcodeToString[answer.Rcode], len(answer.Answer), dns.RcodeToString[test.rcode], test.records, answer)
		}
	}
}
