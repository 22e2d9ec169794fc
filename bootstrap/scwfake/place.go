package scwfake

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/scw"
)

// places returns the zones or regions that have the product of a path, or nil for a
// product that is everywhere. The lists are those of Scaleway's SDK.
func places(path string) []string {
	zones := []string{"fr-par-1", "fr-par-2", "nl-ams-1", "nl-ams-2", "nl-ams-3", "pl-waw-1", "pl-waw-2", "pl-waw-3"}
	product, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch product {
	case "vpc-gw":
		return append(zones, "it-mil-1")
	case "block":
		return append(zones, "fr-par-3")
	case "instance":
		return append(zones, "fr-par-3", "it-mil-1")
	case "registry":
		return []string{"fr-par", "nl-ams", "pl-waw"}
	default:
		return nil
	}
}

// checkPlace refuses zones and regions that do not exist, or that lack the product.
// Reconstructed: no recording contains such a request.
func (c *call) checkPlace() error {
	if zone, ok := c.values["zone"]; ok && !scw.Zone(zone).Exists() {
		return invalidArgument("zone", "constraint", "unknown zone "+zone)
	}
	if region, ok := c.values["region"]; ok && !scw.Region(region).Exists() {
		return invalidArgument("region", "constraint", "unknown region "+region)
	}
	if there := places(c.path); len(there) > 0 && c.place() != "" && !slices.Contains(there, c.place()) {
		return invalidArgument("zone", "constraint", fmt.Sprintf("the product is not in %s", c.place()))
	}
	return nil
}
