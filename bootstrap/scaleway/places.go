package scaleway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// The zones and regions that have a product, according to the SDK.

func gatewayZones() []scw.Zone { return (*vpcgw.API)(nil).Zones() }

func registryRegions() []scw.Region { return (*registry.API)(nil).Regions() }

// machineZones are the zones that have Instances with boot volumes of Block Storage,
// which both the proxy and the nodes of pools have.
func machineZones() []scw.Zone {
	withVolumes := (*block.API)(nil).Zones()
	return slices.DeleteFunc((*instance.API)(nil).Zones(), func(zone scw.Zone) bool { return !slices.Contains(withVolumes, zone) })
}

func clusterRegions() []scw.Region { return (*k8s.API)(nil).Regions() }

// within returns the zones that are in a region.
func within(region scw.Region, zones []scw.Zone) []scw.Zone {
	return slices.DeleteFunc(slices.Clone(zones), func(zone scw.Zone) bool {
		in, err := zone.Region()
		return err != nil || in != region
	})
}

// need is a product that a stack uses.
type need struct {
	// product is in the plural.
	product string
	// field selects the place, and remedy is another way out than another place.
	field, place, remedy string
	// places have the product. Those in the stack's region come first.
	places []string
}

// needs returns the products that a stack uses, each in its place.
func needs(spec stack.Spec) []need {
	region := scw.Region(spec.Region)
	zones := func(all []scw.Zone) []string {
		if here := within(region, all); len(here) > 0 {
			return texts(here)
		}
		return texts(all)
	}
	all := []need{{"Instances with Block Storage", "spec.zone", spec.Zone, "", zones(machineZones())}}
	for i, zone := range spec.Proxy.Zones {
		all = append(all, need{"Instances with Block Storage", fmt.Sprintf("spec.proxy.zones[%d]", i), zone, "", zones(machineZones())})
	}
	if spec.Gateway.Enabled == nil || *spec.Gateway.Enabled {
		all = append(all, need{
			"Public Gateways", "spec.gateway.zone", spec.Gateway.Zone,
			"a gateway can be in another zone of the region than the machines", zones(gatewayZones()),
		})
	}
	if spec.Cluster.BootstrapManages() {
		all = append(all, need{"Kubernetes clusters", "spec.region", spec.Region, "", texts(clusterRegions())})
		for i, pool := range spec.Cluster.Pools {
			all = append(all, need{"Instances with Block Storage", fmt.Sprintf("spec.cluster.pools[%d].zone", i), pool.Zone, "", zones(machineZones())})
		}
	}
	if spec.Registry != nil {
		all = append(all, need{
			"container registries", "spec.registry", spec.Region, "leave registry out, or choose another region", texts(registryRegions()),
		})
	}
	return all
}

// CheckPlaces returns an error for each zone and region of a stack that does not exist,
// or that lacks a product which the stack needs there. The errors list the places that
// are possible. An empty zone or region is not checked.
func CheckPlaces(spec stack.Spec) error {
	var errs []error
	// reported are the places about which there is an error. Most fields have the place
	// of another one by default.
	reported := map[string]bool{"": true}
	report := func(place, format string, args ...any) {
		errs = append(errs, fmt.Errorf(format, args...))
		reported[place] = true
	}
	if !reported[spec.Region] && !slices.Contains(scw.AllRegions, scw.Region(spec.Region)) {
		report(spec.Region, "spec.region: there is no region %s: there are %v", spec.Region, scw.AllRegions)
	}
	all := needs(spec)
	for _, n := range all {
		isZone := strings.Contains(n.field, "zone")
		if isZone && !reported[n.place] && !slices.Contains(scw.AllZones, scw.Zone(n.place)) {
			report(n.place, "%s: there is no zone %s: there are %v", n.field, n.place, scw.AllZones)
		}
	}
	missing := map[string]bool{} // several fields can place a product in the same place
	for _, n := range all {
		if reported[n.place] || slices.Contains(n.places, n.place) || missing[n.product+n.place] {
			continue
		}
		missing[n.product+n.place] = true
		message := fmt.Sprintf("%s: there are no %s in %s, only in %s", n.field, n.product, n.place, strings.Join(n.places, ", "))
		if n.remedy != "" {
			message += ": " + n.remedy
		}
		errs = append(errs, errors.New(message))
	}
	return errors.Join(errs...)
}
