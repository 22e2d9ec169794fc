package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/config/strictyaml"
)

// readConfig reads egress.yaml. It may return both an error and a configuration,
// in which only values are wrong.
func readConfig(file string) (*config.Egress, error) {
	data, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--config: the file %s does not exist: start from bootstrap/egress.example.yaml", file)
	}
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return config.Load(file, data)
}

// checkPlaces checks that the zone and the region exist, except for a field that
// the error of the configuration already covers.
func (p *program) checkPlaces(egress *config.Egress, invalid error) error {
	wrong := func(field string) bool {
		all, ok := errors.AsType[*strictyaml.Error](invalid)
		return ok && slices.ContainsFunc(all.Problems, func(p strictyaml.Problem) bool { return p.Field == field })
	}
	zone, region := egress.Spec.Zone, egress.Spec.Region
	if wrong("spec.zone") {
		zone = ""
	}
	if wrong("spec.region") || zone == "" {
		region = ""
	}
	return p.checkPlace(zone, region)
}
