#!/bin/bash
# kustomize-network-policy-peers.sh: a label for all objects meets a NetworkPolicy.
#
# Version: sigs.k8s.io/kustomize/api v0.21.1, that of kubectl v1.37 and kustomize 5.8.
#
# Expected: "labels" with includeSelectors (or commonLabels) gives objects a label, and
# adds it to the selectors that find the same objects: Services, Deployments, the
# podSelector of a NetworkPolicy.
# Happens: it also adds it to the peers of the rules, which select pods of others: to the
# DNS of the cluster, beside a namespaceSelector for kube-system. No pod there has the
# label, so the rule allows nothing. Where the peer's selector has the same key, its
# value is replaced: the rule for the collector then opens the way to pods of one's own.
# Peers that are written as matchExpressions, and other kinds of policies, stay as they are,
# so that two spellings of one rule are different after the build. There is no warning.
# Matters: a base with egress rules is reviewed, and works where it is applied alone. In the
# overlay of a team that adds its label, the pods do not resolve names any more, and the
# policy in the cluster looks right at a glance. The base is safe when it selects peers by
# matchExpressions, and the overlay when it has includeTemplates instead.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	kustomization = "resources: [policies.yaml]\n"
	policies      = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: egress}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchExpressions: [{key: k8s-app, operator: In, values: [kube-dns]}]}
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: observability}}
      podSelector: {matchLabels: {app: collector}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: egress}
spec:
  endpointSelector: {}
  egress:
  - toEndpoints:
    - matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}
`
)

func main() {
	for _, labels := range []string{
		"commonLabels: {app: shop}",
		"labels: [{pairs: {app: shop}, includeSelectors: true}]",
		"labels: [{pairs: {app: shop}, includeTemplates: true}]",
	} {
		fmt.Println(labels)
		files := filesys.MakeFsInMemory()
		check(files.WriteFile("/kustomization.yaml", []byte(kustomization+labels)))
		check(files.WriteFile("/policies.yaml", []byte(policies)))
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/")
		check(err)
		for _, resource := range built.Resources() {
			object, err := resource.Map()
			check(err)
			for _, rule := range object["spec"].(map[string]any)["egress"].([]any) {
				for _, peers := range rule.(map[string]any) {
					for _, peer := range peers.([]any) {
						fmt.Println(" ", resource.GetKind(), selector(peer.(map[string]any)))
					}
				}
			}
		}
	}
}

// selector returns what a peer says about pods.
func selector(peer map[string]any) string {
	if pods, ok := peer["podSelector"]; ok {
		peer = pods.(map[string]any)
	}
	text, err := json.Marshal(peer)
	check(err)
	return string(text)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get sigs.k8s.io/kustomize/api/krusty@v0.21.1
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(./run)
echo "$output"

unchanged='  NetworkPolicy {"matchLabels":{"k8s-app":"kube-dns"}}
  NetworkPolicy {"matchExpressions":[{"key":"k8s-app","operator":"In","values":["kube-dns"]}]}
  NetworkPolicy {"matchLabels":{"app":"collector"}}
  CiliumNetworkPolicy {"matchLabels":{"k8s-app":"kube-dns","k8s:io.kubernetes.pod.namespace":"kube-system"}}'
changed='  NetworkPolicy {"matchLabels":{"app":"shop","k8s-app":"kube-dns"}}
  NetworkPolicy {"matchExpressions":[{"key":"k8s-app","operator":"In","values":["kube-dns"]}]}
  NetworkPolicy {"matchLabels":{"app":"shop"}}
  CiliumNetworkPolicy {"matchLabels":{"k8s-app":"kube-dns","k8s:io.kubernetes.pod.namespace":"kube-system"}}'
if [ "$output" != "commonLabels: {app: shop}
$changed
labels: [{pairs: {app: shop}, includeSelectors: true}]
$changed
labels: [{pairs: {app: shop}, includeTemplates: true}]
$unchanged" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
