#!/bin/bash
# kubectl-proxy-url-discovery.sh: proxy-url of a kubeconfig meets the files in which
# kubectl keeps what an API server offers.
#
# Version: k8s.io/cli-runtime v0.37.2, the part of kubectl (and of its plugins) that
# reads kubeconfig and looks up resources.
#
# Expected: two clusters are two contexts, and what kubectl learnt of the one has no
# effect on the other.
# Happens: the folder of these files is named after the host and port in "server" alone
# (genericclioptions/config_flags.go: computeDiscoverCacheDir), for 6 hours. Clusters
# whose API servers have one address, each in a network of its own behind its own
# proxy-url, share the folder. After a command for the one, a command for the other asks
# for the one's API version, and is told "could not find the requested resource". A
# resource that is missing in the files is looked up again, one of another version is
# not. The comment in the source says "the problem is short lived": the 6 hours were 10
# minutes when it was written.
# Matters: private clusters made from one template have one address each, and are reached
# through a proxy or bastion each. While a fleet is upgraded, commands fail on whichever
# cluster comes second. It helps to give each context's "server" a name of its own (with
# tls-server-name), or each its own KUBECACHEDIR.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

# The program is two API servers, their proxies and kubectl.
cat >main.go <<'GO'
package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"
)

func main() {
	ca := ""
	proxies := map[string]string{}
	for cluster, version := range map[string]string{"old": "v1alpha1", "new": "v1"} {
		server := httptest.NewTLSServer(apiServer(version))
		proxies[cluster] = proxyTo(server.Listener.Addr().String()).URL
		ca += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	check(os.WriteFile("ca.pem", []byte(ca), 0o600))

	oneAddress := map[string]string{"old": "10.0.0.1:6443", "new": "10.0.0.1:6443"}
	try := func(title, cluster string, servers map[string]string) {
		fmt.Printf("%s, cluster %s: %s\n", title, cluster, get(cluster, servers[cluster], proxies[cluster]))
	}
	try("one address", "old", oneAddress)
	try("one address", "new", oneAddress)
	age(5*time.Hour + 50*time.Minute)
	try("5:50 h later", "new", oneAddress)
	age(6*time.Hour + 10*time.Minute)
	try("6:10 h later", "new", oneAddress)
	ownNames := map[string]string{"old": "old.test:6443", "new": "new.test:6443"}
	try("names of their own", "old", ownNames)
	try("names of their own", "new", ownNames)
}

// get does what "kubectl get tenants" does.
func get(cluster, server, proxy string) string {
	check(os.WriteFile("kubeconfig", fmt.Appendf(nil, `
apiVersion: v1
kind: Config
current-context: %[1]s
contexts: [{name: %[1]s, context: {cluster: %[1]s, user: me}}]
users: [{name: me, user: {token: secret}}]
clusters:
- name: %[1]s
  cluster: {server: "https://%[2]s", proxy-url: "%[3]s", certificate-authority: ca.pem, tls-server-name: example.com}
`, cluster, server, proxy), 0o600))
	flags := genericclioptions.NewConfigFlags(true)
	*flags.KubeConfig = "kubeconfig"
	*flags.CacheDir = "cache"
	infos, err := resource.NewBuilder(flags).Unstructured().ResourceTypeOrNameArgs(true, "tenants").Latest().Do().Infos()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("tenants: %d", len(infos))
}

// age makes the files older.
func age(by time.Duration) {
	then := time.Now().Add(-by)
	check(filepath.WalkDir("cache/discovery", func(path string, _ fs.DirEntry, err error) error {
		check(err)
		return os.Chtimes(path, then, then)
	}))
}

// apiServer offers tenants in one version.
func apiServer(version string) http.Handler {
	group := `{"groupVersion": "example.test/` + version + `", "version": "` + version + `"}`
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
	}
	answer("/api", `{"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}`)
	answer("/api/v1", `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [
		{"name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["get", "list"]}]}`)
	answer("/apis", `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [
		{"name": "example.test", "versions": [`+group+`], "preferredVersion": `+group+`}]}`)
	answer("/apis/example.test/"+version, `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.test/`+version+`",
		"resources": [{"name": "tenants", "singularName": "tenant", "namespaced": false, "kind": "Tenant", "verbs": ["get", "list"]}]}`)
	answer("/apis/example.test/"+version+"/tenants", `{"kind": "TenantList", "apiVersion": "example.test/`+version+`", "metadata": {},
		"items": [{"kind": "Tenant", "apiVersion": "example.test/`+version+`", "metadata": {"name": "client-a"}}]}`)
	return mux
}

// proxyTo leads every tunnel to one server: there is one with that address behind it.
func proxyTo(server string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		there, err := net.Dial("tcp", server)
		check(err)
		w.WriteHeader(http.StatusOK)
		here, buffered, err := http.NewResponseController(w).Hijack()
		check(err)
		go func() { _, _ = io.Copy(there, buffered) }()
		_, _ = io.Copy(here, there)
	}))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get k8s.io/cli-runtime/pkg/genericclioptions@v0.37.2 k8s.io/cli-runtime/pkg/resource@v0.37.2
	go mod tidy
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(./run)
echo "$output"

missing='Unable to list "example.test/v1alpha1, Resource=tenants": the server could not find the requested resource (get tenants.example.test)'
if [ "$output" != "one address, cluster old: tenants: 1
one address, cluster new: $missing
5:50 h later, cluster new: $missing
6:10 h later, cluster new: tenants: 1
names of their own, cluster old: tenants: 1
names of their own, cluster new: tenants: 1" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
