package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/config/strictyaml"
	"egress.scw/bootstrap/stack"
)

// readConfig reads egress.yaml. It may return both an error and a configuration,
// in which only values are wrong.
func readConfig(file string) (*config.Egress, error) {
	data, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--config: the file %s does not exist: bootstrap init writes one", file)
	}
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return config.Load(file, data)
}

// checkAllPlaces checks that the zones and the region exist and have the products of the
// stack, except for fields that the error of the configuration already covers.
func (p *program) checkAllPlaces(egress *config.Egress, invalid error) error {
	wrong := func(field string) bool {
		all, ok := errors.AsType[*strictyaml.Error](invalid)
		return ok && slices.ContainsFunc(all.Problems, func(p strictyaml.Problem) bool { return p.Field == field })
	}
	spec := stack.NewSpec(egress, "")
	unlessWrong := func(field string, place *string) {
		if wrong(field) || *place == egress.Spec.Zone && wrong("spec.zone") {
			*place = ""
		}
	}
	unlessWrong("spec.zone", &spec.Zone)
	unlessWrong("spec.gateway.zone", &spec.Gateway.Zone)
	spec.Proxy.Zones = slices.Clone(spec.Proxy.Zones)
	for i := range spec.Proxy.Zones {
		unlessWrong(fmt.Sprintf("spec.proxy.zones[%d]", i), &spec.Proxy.Zones[i])
	}
	if spec.Cluster != nil {
		cluster := *spec.Cluster
		cluster.Pools = slices.Clone(cluster.Pools)
		for i := range cluster.Pools {
			unlessWrong(fmt.Sprintf("spec.cluster.pools[%d].zone", i), &cluster.Pools[i].Zone)
		}
		spec.Cluster = &cluster
	}
	if wrong("spec.region") || spec.Zone == "" {
		spec.Region = ""
	}
	return p.checkPlaces(spec)
}
