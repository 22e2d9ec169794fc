package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestOutdatedValues: each value of the proxy that bootstrap writes is compared with the
// settings of the installed chart.
func TestOutdatedValues(t *testing.T) {
	t.Parallel()
	stack := chartValues{
		Cluster: clusterValues{CIDRs: []string{"172.16.28.0/22"}},
		Proxy: proxyValues{
			Addresses: []string{"172.16.28.8"}, SpareAddress: "172.16.28.70",
			Identity: "Offered", Machines: []machineValues{{Address: "172.16.28.8", Certificate: "a certificate"}},
			EgressAddresses: egressValues{Shared: []string{"192.0.2.1"}, Dedicated: map[string][]string{"client-a": {"192.0.2.2"}}, Gateway: []string{"192.0.2.3"}},
		},
	}
	text, err := yaml.Marshal(stack)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	paths := append(pathsOf(all["cluster"], "cluster"), pathsOf(all["proxy"], "proxy")...)
	for i, path := range paths {
		if path == "proxy.egressAddresses.dedicated.client-a" {
			paths[i] = "proxy.egressAddresses.dedicated"
		}
	}
	outdated, err := outdatedValues([]byte("proxy: {}"), text)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	slices.Sort(outdated)
	if diff := cmp.Diff(paths, outdated); diff != "" {
		t.Errorf("of a chart without any (-values +outdated):\n%s", diff)
	}
	if outdated, err := outdatedValues(text, text); err != nil || len(outdated) > 0 {
		t.Errorf("of the same values: %q (%v)", outdated, err)
	}
	// The settings of the chart have its defaults, too.
	defaults := "proxy: {addresses: ['172.16.28.8'], spareAddress: '', identity: Port, machines: [], egressAddresses: {shared: [], dedicated: {}, gateway: []}}"
	if outdated, err := outdatedValues([]byte(defaults), []byte("proxy: {addresses: ['172.16.28.8'], egressAddresses: {shared: []}}")); err != nil || len(outdated) > 0 {
		t.Errorf("of the defaults: %q (%v)", outdated, err)
	}
}

// pathsOf returns the paths of the values in an object that are no objects.
func pathsOf(value any, path string) []string {
	object, ok := value.(map[string]any)
	if !ok {
		return []string{path}
	}
	var paths []string
	for name, inner := range object {
		paths = append(paths, pathsOf(inner, path+"."+name)...)
	}
	return paths
}
