package scaleway

import (
	"strings"
	"testing"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// Each product must be where the stack places it.
func TestCheckPlaces(t *testing.T) {
	t.Parallel()
	const zone, registry = "zone: fr-par-1", "  registry: {name: egress-test}\n"
	const resolvers = "proxy:\n    nameServers: [192.0.2.53, 192.0.2.54]"
	for _, c := range []struct {
		name   string
		oldnew []string
		want   []string
	}{
		{"everything is there", nil, nil},
		{"a zone without gateways", []string{zone, "zone: fr-par-3"}, []string{
			"spec.gateway.zone: there are no Public Gateways in fr-par-3, only in fr-par-1, fr-par-2: a gateway can be in another zone of the region than the machines",
		}},
		{"its gateway in another zone", []string{zone, "zone: fr-par-3\n  gateway: {zone: fr-par-2}"}, nil},
		{"a zone without gateways, and no gateway", []string{zone, "zone: fr-par-3\n  gateway: {enabled: false}", "{cidr: 172.16.28.0/22}", "{id: 11111111-2222-4333-8444-555555555555}"}, nil},
		{"a region with few products", []string{zone, "zone: it-mil-1", "proxy:", resolvers}, []string{
			"spec.zone: there are no Instances with Block Storage in it-mil-1, only in fr-par-1, fr-par-2, fr-par-3, nl-ams-1, nl-ams-2, nl-ams-3, pl-waw-1, pl-waw-2, pl-waw-3",
			"spec.registry: there are no container registries in it-mil, only in fr-par, nl-ams, pl-waw: leave registry out, or choose another region",
		}},
		{"a region with few products, without a registry", []string{zone, "zone: it-mil-2", "proxy:", resolvers, registry, ""}, []string{
			"spec.zone: there are no Instances with Block Storage in it-mil-2, only in fr-par-1, fr-par-2, fr-par-3, nl-ams-1, nl-ams-2, nl-ams-3, pl-waw-1, pl-waw-2, pl-waw-3",
			"spec.gateway.zone: there are no Public Gateways in it-mil-2, only in it-mil-1: a gateway can be in another zone of the region than the machines",
		}},
		{"an unknown zone", []string{zone, "zone: fr-par-9", "proxy:", resolvers}, []string{"spec.zone: there is no zone fr-par-9: there are [fr-par-1 "}},
		{"an unknown region", []string{zone, "zone: fr-lyo-1", "proxy:", resolvers}, []string{
			"spec.region: there is no region fr-lyo: there are [fr-par ", "spec.zone: there is no zone fr-lyo-1: there are [fr-par-1 ",
		}},
		{"unknown zones of parts", []string{zone, "zone: fr-par-1\n  gateway: {zone: fr-par-8}", "size: 2", "size: 2, zone: fr-par-9"}, []string{
			"spec.gateway.zone: there is no zone fr-par-8: ", "spec.cluster.pools[0].zone: there is no zone fr-par-9: ",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			if err := CheckPlaces(newSpec(t, c.oldnew...)); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(c.want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got\n%s\nwant\n%s", got[i], want)
				}
			}
		})
	}
}

// A place that a configuration leaves empty is not checked, because there is another
// error about it.
func TestCheckNoPlaces(t *testing.T) {
	t.Parallel()
	if err := CheckPlaces(stack.Spec{}); err != nil {
		t.Error(err)
	}
}

// A stack in a zone without gateways has its gateway elsewhere in the region. Nothing is
// requested of a product where it does not exist: the fake refuses that.
func TestStackInAZoneWithoutGateways(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t, "zone: fr-par-1", "zone: fr-par-3\n  gateway: {zone: fr-par-1}")
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, spec)
	if err := destroy(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("left after destroy: %v", left)
	}
}
