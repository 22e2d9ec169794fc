#!/bin/bash
# flux-kubectl-label.sh: a label that is set by kubectl meets a namespace that Flux applies.
#
# Versions: github.com/fluxcd/pkg/ssa v0.76.2, with which kustomize-controller v1.9.6 of Flux
# applies, k8s.io/kubectl v0.36.4. The API server is the fake one of controller-runtime
# v0.24.1, which keeps managedFields by the code of the real one.
#
# Expected: Flux applies on the server's side, where a field that one manager does not name
# is left to the other one. A label that is not in Git stays.
# Happens: it stays if a controller or Terraform has set it, and is removed if "kubectl
# label" has. Before it applies, Flux takes over the fields of each manager whose name begins
# with "kubectl" (patch.go: matchFieldManager compares a prefix, the list says "to undo
# changes made with 'kubectl apply'"), and so deletes those that Git does not have. The
# default of "kubectl label" is "kubectl-label". A plugin is a program "kubectl-NAME", and
# what it writes has that name if it sets no other, and goes the same way.
# Matters: the label of a namespace decides about policies: who may leave it, by which proxy,
# at which Pod Security level. To set it by kubectl works, all checks pass, and minutes
# later, at the next interval of Flux, the namespace is open again. With the flag
# --field-manager=NAME of kubectl, or in Git, the label stays.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd/label"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func main() {
	byDefault := label.NewCmdLabel(nil, genericiooptions.NewTestIOStreamsDiscard()).Flag("field-manager").DefValue
	for _, manager := range []string{byDefault, "kubectl-example", "team", "controller", "Terraform"} {
		fmt.Printf("set by %s: label after the next interval: %t\n", manager, stays(manager))
	}
}

// stays tells whether a label that a manager sets survives Flux.
func stays(manager string) bool {
	ctx := context.Background()
	server := fake.NewClientBuilder().WithReturnManagedFields().Build()
	flux := ssa.NewResourceManager(server, nil, ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})
	options := ssa.DefaultApplyOptions()
	// The list of kustomize-controller.
	options.Cleanup.FieldManagers = []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "kustomize-controller", OperationType: metav1.ManagedFieldsOperationUpdate},
	}
	interval := func() {
		_, err := flux.Apply(ctx, namespace(), options)
		check(err)
	}
	interval()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"example.test/tenant": "client-a"}}}`))
	check(server.Patch(ctx, namespace(), patch, client.FieldOwner(manager)))
	interval()
	live := namespace()
	check(server.Get(ctx, client.ObjectKeyFromObject(live), live))
	return live.GetLabels()["example.test/tenant"] == "client-a"
}

// namespace is the one in Git.
func namespace() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": "orders", "labels": map[string]any{"team": "shop"}},
	}}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get github.com/fluxcd/pkg/ssa@v0.76.2 k8s.io/kubectl/pkg/cmd/label@v0.36.4
	go mod tidy
	nice -n 5 go build -o run .
	controller=$(go mod download -json github.com/fluxcd/kustomize-controller@v1.9.6 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(
	# The managers whose fields kustomize-controller takes over.
	sed -n '/fieldManagers := \[\]ssa.FieldManager{/,/^\t}/s/^.*Name: *\(.*\),$/takes over: \1/p' \
		"$controller/internal/controller/kustomization_controller.go"
	./run
)
echo "$output"

if [ "$output" != 'takes over: "kubectl"
takes over: "kubectl"
takes over: "before-first-apply"
takes over: r.ControllerName
set by kubectl-label: label after the next interval: false
set by kubectl-example: label after the next interval: false
set by team: label after the next interval: true
set by controller: label after the next interval: true
set by Terraform: label after the next interval: true' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
