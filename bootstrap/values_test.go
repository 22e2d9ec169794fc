package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/stack"
)

// valuesCases are changes to baseConfig.
func valuesCases() map[string][]string {
	return map[string][]string{
		"flexible":   nil,
		"machines":   twoMachines(),
		"gateway":    {"    sshSources: [192.0.2.0/24]", "    sourceAddress: Gateway\n    nameServers: [51.159.69.162]", ", egressIP: Dedicated", ""},
		"no-cluster": {baseConfig[strings.Index(baseConfig, "cluster:"):strings.Index(baseConfig, "tenants:")], ""},
		"unmanaged-cluster": {
			baseConfig[strings.Index(baseConfig, "cluster:"):strings.Index(baseConfig, "tenants:")],
			"cluster: {cidrs: [10.244.0.0/16, 10.96.0.0/12]}\n  ",
		},
		"no-tenants": {
			baseConfig[strings.Index(baseConfig, "      - {name: client-a, tenant"):strings.Index(baseConfig, "  registry:")], "",
			"  tenants:\n", "", "    - {name: client-a, proxy: {port: 3129}, noProxy: [intranet.example.com]}\n", "",
			"    - {name: client-b, proxy: {port: 3130, egressIP: Dedicated}}\n", "",
		},
	}
}

func TestValuesGolden(t *testing.T) {
	var used []string
	for name, oldnew := range valuesCases() {
		file := "values-" + name + ".golden.yaml"
		used = append(used, file)
		t.Run(name, func(t *testing.T) {
			spec := newSpec(t, replaced(t, oldnew...))
			graph, _ := made(t, spec)
			text, err := values(graph, spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(text), file)
			if err := checkMark(text); err != nil {
				t.Errorf("the next run would not replace them: %v", err)
			}
			var decoded chartValues
			if err := yaml.UnmarshalStrict(text, &decoded); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(spec.Tenants, decoded.Tenants); len(spec.Tenants) > 0 && diff != "" {
				t.Errorf("the tenants differ, -egress.yaml +values:\n%s", diff)
			}
		})
	}
	noStale(t, "values-*", used)
}

// TestValuesIncomplete requires an error for each missing address.
func TestValuesIncomplete(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, replaced(t, twoMachines()...))
	for _, c := range []struct {
		want   string
		forget func(*stack.Graph)
	}{
		{"[shared]", func(g *stack.Graph) { g.Proxies[0].Addresses[0] = &stack.FlexibleIP{Role: stack.RoleShared} }},
		{"[shared]", func(g *stack.Graph) { g.Proxies[1].Addresses[0] = &stack.FlexibleIP{Role: "proxy-2/shared"} }},
		{"[client-b]", func(g *stack.Graph) { g.Proxies[1].Addresses = g.Proxies[1].Addresses[:1] }},
		{"[client-b]", func(g *stack.Graph) { g.Proxies[0].Addresses = g.Proxies[0].Addresses[:1] }},
		{"registry example-production", func(g *stack.Graph) { g.Registry.Endpoint = "" }},
	} {
		graph, _ := made(t, spec)
		c.forget(graph)
		if _, err := values(graph, spec, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %s", err, c.want)
		}
	}
}
