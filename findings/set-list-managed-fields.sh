#!/bin/bash
# set-list-managed-fields.sh: a list of type "set" meets the record of who owns which
# field.
#
# Versions: k8s.io/apimachinery v0.37.2, sigs.k8s.io/structured-merge-diff/v6 v6.4.2,
# the code with which the API server treats each write.
#
# Expected: listType=set in a custom resource makes a list of strings unique, and lets
# several managers own parts of it. A write that changes something else, or nothing, is
# not concerned.
# Happens: each element is a field of its own, and its name is the whole text of the
# element. managedFields repeats all of them for each manager that applies them, so the
# stored object is more than twice as large as with listType=atomic. Each write reads
# and compares these names, whatever it changes: with 5,000 of them, a controller that
# updates a number in the status and a user who applies the same object again cost
# dozens of times the CPU time, and about ten times the memory.
# Matters: the type is chosen for its uniqueness, and linters of APIs ask for a choice.
# A controller that writes the status of such objects keeps the API server busy, and an
# object reaches the limit of etcd (1.5 MiB) at less than half of that size. Where one
# manager owns the whole list, atomic and a check for duplicates at admission cost
# nothing of the kind.
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
	"os"
	"runtime"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const (
	names   = 5000
	openAPI = `{"test.example.Policy": {
		"type": "object",
		"x-kubernetes-group-version-kind": [{"group": "example.test", "version": "v1", "kind": "Policy"}],
		"properties": {
			"apiVersion": {"type": "string"},
			"kind": {"type": "string"},
			"metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
			"spec": {"type": "object", "properties": {
				"domains": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": %q}
			}},
			"status": {"type": "object", "properties": {"requests": {"type": "integer"}}}
		}
	}}`
)

// cost is that of an object whose list has one type.
type cost struct {
	size          int // Bytes of the stored object.
	apply, update uint64
}

func main() {
	atomic, set := measure("atomic"), measure("set")
	size := float64(set.size) / float64(atomic.size)
	apply := float64(set.apply) / float64(atomic.apply)
	update := float64(set.update) / float64(atomic.update)
	fmt.Printf("set for atomic: %.1f times the size, %.0f and %.0f times the memory\n", size, apply, update)
	if size < 2 || apply < 5 || update < 5 {
		fmt.Fprintln(os.Stderr, "the behaviour has changed")
		os.Exit(1)
	}
}

func measure(listType string) cost {
	var schemas map[string]*spec.Schema
	check(json.Unmarshal(fmt.Appendf(nil, openAPI, listType), &schemas))
	converter, err := managedfields.NewTypeConverter(schemas, false)
	check(err)
	manager := managedfieldstest.NewTestFieldManager(converter, schema.GroupVersionKind{Group: "example.test", Version: "v1", Kind: "Policy"})
	check(manager.Apply(policy(), "user", false))
	var requests int64
	var result cost
	update := func() {
		requests++
		object := manager.Live().DeepCopyObject().(*unstructured.Unstructured)
		check(unstructured.SetNestedField(object.Object, requests, "status", "requests"))
		check(manager.Update(object, "controller"))
	}
	update() // The first one makes the controller a manager.
	var updateTime, applyTime time.Duration
	result.update, updateTime = run(update)
	result.apply, applyTime = run(func() { check(manager.Apply(policy(), "user", false)) })
	stored, err := json.Marshal(manager.Live())
	check(err)
	result.size = len(stored)
	fmt.Printf("%s: %d bytes; apply the same: %.0f ms, %d KiB; update the status: %.0f ms, %d KiB\n", listType, result.size,
		applyTime.Seconds()*1000, result.apply>>10, updateTime.Seconds()*1000, result.update>>10)
	return result
}

func policy() *unstructured.Unstructured {
	var domains []any
	for i := range names {
		domains = append(domains, fmt.Sprintf("host-%d.example.test", i))
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.test/v1", "kind": "Policy", "metadata": map[string]any{"name": "policy"},
		"spec": map[string]any{"domains": domains},
	}}
}

// run returns the memory that a write allocates, and the shortest time of five.
func run(write func()) (allocated uint64, shortest time.Duration) {
	var before, after runtime.MemStats
	for range 5 {
		runtime.ReadMemStats(&before)
		start := time.Now()
		write()
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		allocated = after.TotalAlloc - before.TotalAlloc
		if shortest == 0 || took < shortest {
			shortest = took
		}
	}
	return allocated, shortest
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest@v0.37.2
	nice -n 5 go build -o run .
	go list -m k8s.io/kube-openapi sigs.k8s.io/structured-merge-diff/v6
} >log 2>&1 || { cat log >&2 && exit 1; }
tail -n 2 log
./run
