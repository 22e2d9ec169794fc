package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/images"
	"egress.scw/hack/test/clients/debian"
	"egress.scw/hack/test/clients/image"
	"egress.scw/hack/test/clients/matrix"
)

// serverPackages are the Debian packages of the servers in the image of the clients,
// and of those clients that have no rows.
func serverPackages() []string {
	return []string{"nodejs", "openssh-client", "openssh-server", "postgresql-15", "postgresql-client-15", "redis-server", "redis-tools"}
}

// clientsImported is the result of the import of the clients' image, which happens once
// for all tests.
var clientsImported = sync.OnceValues(func() (took string, err error) {
	ctx := context.Background()
	ids := append(clientIDs(), capturedIDs()...)
	slices.Sort(ids)
	clients, err := matrix.Select(slices.Compact(ids)...)
	if err != nil {
		return "", err
	}
	start := time.Now()
	packages := append(debian.Packages(clients), serverPackages()...)
	root, err := image.Make(ctx, packages, filepath.Join(shared.Repository, "hack", "test", "clients", "programs"))
	if err != nil {
		return "", err
	}
	made := time.Now()
	err = shared.Import(ctx, images.Image{Reference: clientsImage, Root: root})
	return fmt.Sprintf("the image was made in %s and imported in %s", made.Sub(start).Round(time.Second), time.Since(made).Round(time.Second)), err
})

// importClients makes the image of the clients, and adds it to the node's store.
func importClients(t *testing.T) {
	t.Helper()
	took, err := clientsImported()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(took)
}

// deployClients starts the clients' pod and a Service, whose address it returns.
func deployClients(t *testing.T) string {
	t.Helper()
	applyAuthority(t, clientsTenant)
	if err := shared.Apply(t.Context(), fmt.Sprintf(clientManifests, clientsTenant, clientsService, clientsImage)); err != nil {
		t.Fatal(err)
	}
	pod := clientsPod(clientsTenant, "clients", "{}")
	create := func() (string, error) {
		return shared.Kubectl(t.Context(), strings.NewReader(pod), "create", "--output=json", "--filename=-")
	}
	eventually(t, "a pod with the Service in its variables", func() (bool, string) {
		// Each replica of the webhook learns of the Service by itself.
		out, err := create()
		if err != nil {
			return false, err.Error()
		}
		if strings.Contains(out, clientsService) && strings.Contains(out, "JAVA_TOOL_OPTIONS") {
			return true, ""
		}
		mustKubectl(t, "--namespace="+clientsTenant, "delete", "pod", "clients")
		return false, out
	})
	mustKubectl(t, "--namespace="+clientsTenant, "wait", "--for=condition=Ready", "pod/clients", "pod/"+clientsService, "--timeout=300s")
	for _, url := range []string{"http://" + environment.IPEchoName + "/", "https://" + cluster.ServiceIP + "/livez"} {
		eventually(t, "the policy to open the way to "+url, func() (bool, string) {
			out, err := kubectl(t.Context(), "--namespace="+clientsTenant, "exec", "clients", "--", "curl", "--silent", "--show-error", "--fail", "--max-time", "30", url)
			return err == nil, fmt.Sprint(out, err)
		})
	}
	return mustKubectl(t, "--namespace="+clientsTenant, "get", "service", clientsService, "--output=jsonpath={.spec.clusterIP}")
}

// applyAuthority puts the authority of the internet's certificates into a namespace, for
// clientsPod.
func applyAuthority(t *testing.T, namespace string) {
	t.Helper()
	authority, err := os.ReadFile(shared.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Apply(t.Context(), fmt.Sprintf(internetAuthority, namespace, indent(string(authority), 4))); err != nil {
		t.Fatal(err)
	}
}

const internetAuthority = `
apiVersion: v1
kind: ConfigMap
metadata: {name: internet, namespace: %[1]s}
data:
  ca.crt: |
%[2]s
`

// The server prints a line for each request.
const clientManifests = `
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[2]s}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: server
    image: %[3]s
    imagePullPolicy: Never
    command: [python3, -u, -m, http.server, --directory, /srv, "8080"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
`

// clientsPod is a pod with the clients. It trusts the authorities of the internet and of
// the API server, as images in a company do. Its namespace has applyAuthority's object.
// Its probe ends with the first success: a readiness probe would start a process in the
// pod each second, on a machine that is busy already.
func clientsPod(namespace, name, labels string) string {
	return fmt.Sprintf(clientsPodManifest, namespace, name, labels, clientsImage)
}

const clientsPodManifest = `
apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s, labels: %[3]s}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: clients
    image: %[4]s
    imagePullPolicy: Never
    command: [sh, -c, "update-ca-certificates && touch /tmp/ready && exec sleep infinity"]
    env: [{name: LANG, value: C.UTF-8}, {name: NODE_EXTRA_CA_CERTS, value: /etc/ssl/certs/ca-certificates.crt}]
    startupProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1, failureThreshold: 300}
    volumeMounts:
    - {name: internet, mountPath: /usr/local/share/ca-certificates/internet.crt, subPath: ca.crt}
    - {name: cluster, mountPath: /usr/local/share/ca-certificates/cluster.crt, subPath: ca.crt}
  volumes:
  - {name: internet, configMap: {name: internet}}
  - {name: cluster, configMap: {name: kube-root-ca.crt}}
`

func indent(text string, width int) string {
	blank := strings.Repeat(" ", width)
	return blank + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+blank)
}
