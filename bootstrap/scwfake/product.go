package scwfake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// serverType is a commercial type of servers.
type serverType struct {
	name, arch string
	cpus       int
	memoryGB   int
	// localGB is the maximum of local storage. 0: SBS only.
	localGB int
	// mbits is the bandwidth in Mbit/s.
	mbits int
	// euro is the price per hour.
	euro float64
}

func (a *API) productRoutes() []route {
	const path = "/instance/v1/zones/{zone}/products/servers"
	return []route{
		{method: http.MethodGet, pattern: path, handle: a.listTypes},
		{method: http.MethodGet, pattern: path + "/availability", handle: a.listAvailability},
	}
}

// catalogue returns the types, sorted by name. The types of PLAY2 are recorded. Prices
// and bandwidths of the others are approximate, and some of the largest types are
// missing: fr-par-1 had 135 types in July 2026. There is no PLAY2-S.
func catalogue() []serverType {
	const intel, arm = "x86_64", "arm64"
	types := []serverType{
		{"PLAY2-PICO", intel, 1, 2, 0, 100, 0.01428},
		{"PLAY2-NANO", intel, 2, 4, 0, 200, 0.02754},
		{"PLAY2-MICRO", intel, 4, 8, 0, 400, 0.05508},
		{"DEV1-S", intel, 2, 2, 20, 200, 0.0088},
		{"DEV1-M", intel, 3, 4, 40, 300, 0.0198},
		{"DEV1-L", intel, 4, 8, 80, 400, 0.042},
		{"DEV1-XL", intel, 4, 12, 120, 500, 0.0638},
		{"GP1-XS", intel, 4, 16, 150, 500, 0.091},
		{"GP1-S", intel, 8, 32, 300, 800, 0.187},
		{"GP1-M", intel, 16, 64, 600, 1500, 0.376},
		{"GP1-L", intel, 32, 128, 600, 5000, 0.759},
		{"GP1-XL", intel, 48, 256, 600, 10000, 1.641},
		{"STARDUST1-S", intel, 1, 1, 10, 100, 0.00015},
		{"PRO2-XXS", intel, 2, 8, 0, 350, 0.055},
		{"PRO2-XS", intel, 4, 16, 0, 700, 0.11},
		{"PRO2-S", intel, 8, 32, 0, 1500, 0.219},
		{"PRO2-M", intel, 16, 64, 0, 3000, 0.438},
		{"PRO2-L", intel, 32, 128, 0, 6000, 0.877},
	}
	for _, cpus := range []int{2, 4, 8, 16, 32, 48, 64} {
		types = append(types,
			sized("POP2-%dC-%dG", intel, cpus, 4), sized("POP2-HM-%dC-%dG", intel, cpus, 8), sized("POP2-HC-%dC-%dG", intel, cpus, 2),
		)
	}
	for _, cpus := range []int{2, 4, 6, 8, 12, 16, 32, 48, 64} {
		types = append(types,
			sized("STANDARD3-X%dC-%dG", intel, cpus, 4), sized("MEMORY3-X%dC-%dG", intel, cpus, 8), sized("COMPUTE3-X%dC-%dG", intel, cpus, 2),
			sized("STANDARD2-A%dC-%dG", arm, cpus, 4),
		)
	}
	for _, cpus := range []int{2, 4, 6, 8, 12, 16} {
		for _, ratio := range []int{2, 4} {
			types = append(types, sized("BASIC3-X%dC-%dG", intel, cpus, ratio), sized("BASIC2-A%dC-%dG", arm, cpus, ratio))
		}
	}
	for _, cpus := range []int{1, 2, 4, 8, 16, 32} {
		types = append(types, sized("COPARM1-%dC-%dG", arm, cpus, 4))
	}
	for _, gpus := range []int{1, 2, 4, 8} {
		types = append(types,
			serverType{fmt.Sprintf("L4-%d-%dG", gpus, 24*gpus), intel, 8 * gpus, 48 * gpus, 0, 2500 * gpus, 0.75 * float64(gpus)},
			serverType{fmt.Sprintf("L40S-%d-%dG", gpus, 48*gpus), intel, 8 * gpus, 96 * gpus, 1600, 2500 * gpus, 1.4 * float64(gpus)},
		)
	}
	types = append(types,
		serverType{"H100-1-80G", intel, 24, 240, 3000, 10000, 2.73}, serverType{"H100-2-80G", intel, 48, 480, 3000, 20000, 5.46},
		serverType{"RENDER-S", intel, 10, 42, 400, 2000, 1.22},
	)
	slices.SortFunc(types, func(x, y serverType) int { return strings.Compare(x.name, y.name) })
	return types
}

// sized returns a type of a family whose names contain the size.
func sized(format, arch string, cpus, ratio int) serverType {
	return serverType{
		name: fmt.Sprintf(format, cpus, cpus*ratio), arch: arch, cpus: cpus, memoryGB: cpus * ratio,
		mbits: 200 * cpus, euro: 0.03 * float64(cpus),
	}
}

// findType returns the type with the name that requests use.
func findType(name string) (serverType, bool) {
	for _, t := range catalogue() {
		if t.name == name {
			return t, true
		}
	}
	return serverType{}, false
}

func (t serverType) view() object {
	const mbit, gigabyte = 1_000_000, 1_000_000_000
	local := object{"min_size": 0, "max_size": t.localGB * gigabyte}
	return object{
		"alt_names": []string{}, "arch": t.arch, "ncpus": t.cpus, "ram": t.memoryGB << 30, "gpu": 0, "gpu_info": nil,
		"mig_profile": nil, "volumes_constraint": local, "per_volume_constraint": object{"l_ssd": local},
		"scratch_storage_max_size": 0, "scratch_storage_max_volumes_count": 0,
		"monthly_price": t.euro * 730, "hourly_price": t.euro,
		"capabilities": object{
			"boot_types": []string{"local", "rescue"}, "placement_groups": true, "block_storage": true,
			"hot_snapshots_local_volume": t.localGB > 0, "private_network": 8, "max_file_systems": 0,
		},
		"network": object{
			"ipv6_support": true, "sum_internal_bandwidth": t.mbits * mbit, "sum_internet_bandwidth": t.mbits * mbit,
			"interfaces": []object{{"internal_bandwidth": t.mbits * mbit, "internet_bandwidth": t.mbits * mbit}},
		},
		"block_bandwidth": t.mbits * 419430, "end_of_service": false,
	}
}

func (a *API) listTypes(c *call) (any, error) {
	servers := object{}
	for _, t := range instancePage(c, catalogue()) {
		servers[t.name] = t.view()
	}
	return object{"servers": servers}, nil
}

// listAvailability reports a shortage of some types, as recorded.
func (a *API) listAvailability(c *call) (any, error) {
	servers := object{}
	for _, t := range instancePage(c, catalogue()) {
		availability := "available"
		if strings.HasPrefix(t.name, "COMPUTE3-") || strings.HasPrefix(t.name, "MEMORY3-") || a.isShort(t.name) {
			availability = "shortage"
		}
		servers[t.name] = object{"availability": availability}
	}
	return object{"servers": servers}, nil
}
