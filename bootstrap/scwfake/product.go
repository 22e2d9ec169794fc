package scwfake

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
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
	// gpus is the number of graphics processors. All are L4.
	gpus int
}

func (a *API) productRoutes() []route {
	const path = "/instance/v1/zones/{zone}/products/servers"
	return []route{
		{method: http.MethodGet, pattern: path, handle: a.listTypes},
		{method: http.MethodGet, pattern: path + "/availability", handle: a.listAvailability},
	}
}

const intel, arm = "x86_64", "arm64"

// catalogue returns the types that fr-par-1 had on 24 September 2026, sorted by name.
// There is no PLAY2-S. The list is the same for all callers.
var catalogue = sync.OnceValue(func() []serverType {
	types := []serverType{
		{"PLAY2-PICO", intel, 1, 2, 0, 100, 0.01428, 0},
		{"PLAY2-NANO", intel, 2, 4, 0, 200, 0.02754, 0},
		{"PLAY2-MICRO", intel, 4, 8, 0, 400, 0.05508, 0},
		{"DEV1-S", intel, 2, 2, 20, 200, 0.008976, 0},
		{"DEV1-M", intel, 3, 4, 40, 300, 0.020196, 0},
		{"DEV1-L", intel, 4, 8, 80, 400, 0.04284, 0},
		{"DEV1-XL", intel, 4, 12, 120, 500, 0.065076, 0},
		{"GP1-XS", intel, 4, 16, 150, 500, 0.09282, 0},
		{"GP1-S", intel, 8, 32, 300, 800, 0.19074, 0},
		{"GP1-M", intel, 16, 64, 600, 1500, 0.38352, 0},
		{"GP1-L", intel, 32, 128, 600, 5000, 0.77418, 0},
		{"GP1-XL", intel, 48, 256, 600, 10000, 1.67382, 0},
		{"STARDUST1-S", intel, 1, 1, 10, 100, 0.0006, 0},
		{"PRO2-XXS", intel, 2, 8, 0, 350, 0.0561, 0},
		{"PRO2-XS", intel, 4, 16, 0, 700, 0.1122, 0},
		{"PRO2-S", intel, 8, 32, 0, 1500, 0.22338, 0},
		{"PRO2-M", intel, 16, 64, 0, 3000, 0.44676, 0},
		{"PRO2-L", intel, 32, 128, 0, 6000, 0.89454, 0},
		{"POP2-HN-3", intel, 2, 4, 0, 3000, 0.2554, 0},
		{"POP2-HN-5", intel, 4, 8, 0, 5000, 0.4524, 0},
		{"POP2-HN-10", intel, 4, 8, 0, 10000, 0.7264, 0},
		{"L4-1-24G", intel, 8, 48, 0, 2500, 0.7875, 1},
		{"L4-2-24G", intel, 16, 96, 0, 5000, 1.575, 2},
		{"L4-4-24G", intel, 32, 192, 0, 10000, 3.15, 4},
		{"L4-8-24G", intel, 64, 384, 0, 20000, 6.3, 8},
	}
	for _, f := range families() {
		for _, cpus := range f.cpus {
			types = append(types, f.sized(cpus))
		}
	}
	slices.SortFunc(types, func(x, y serverType) int { return strings.Compare(x.name, y.name) })
	return types
})

// typeViews returns the JSON of the types by name. Each run reads all of them.
var typeViews = sync.OnceValues(func() (map[string]json.RawMessage, error) {
	views := map[string]json.RawMessage{}
	var err error
	for _, t := range catalogue() {
		view, failed := json.Marshal(t.view())
		views[t.name], err = view, errors.Join(err, failed)
	}
	return views, err
})

// family is a number of types whose names contain their size.
type family struct {
	format, arch string
	// ratio is the number of GB of memory for each processor.
	ratio int
	cpus  []int
	// mbits and euro are those of each processor. They are approximate: larger types
	// have a little less or more.
	mbits int
	euro  float64
}

func families() []family {
	small, large := []int{2, 4, 6, 8, 12, 16}, []int{2, 4, 6, 8, 12, 16, 24, 32, 48, 64}
	return []family{
		{"BASIC2-A%dC-%dG", arm, 2, small, 100, 0.0129},
		{"BASIC2-A%dC-%dG", arm, 4, small, 100, 0.0172},
		{"BASIC3-X%dC-%dG", intel, 2, small, 187, 0.0222},
		{"BASIC3-X%dC-%dG", intel, 4, small, 187, 0.0296},
		{"COMPUTE3-X%dC-%dG", intel, 2, append(large, 96), 250, 0.0293},
		{"MEMORY3-X%dC-%dG", intel, 8, large[:len(large)-1], 250, 0.0567},
		{"POP2-%dC-%dG", intel, 4, large, 200, 0.0367},
		{"POP2-%dC-%dG-WIN", intel, 4, []int{2, 4, 8, 16, 32}, 200, 0.0911},
		{"POP2-HC-%dC-%dG", intel, 2, large, 200, 0.0266},
		{"POP2-HM-%dC-%dG", intel, 8, large, 200, 0.0515},
		{"STANDARD2-A%dC-%dG", arm, 4, large, 200, 0.0293},
		{"STANDARD3-X%dC-%dG", intel, 4, large, 250, 0.0405},
	}
}

// sized returns the type with a number of processors.
func (f family) sized(cpus int) serverType {
	return serverType{
		name: fmt.Sprintf(f.format, cpus, cpus*f.ratio), arch: f.arch, cpus: cpus, memoryGB: cpus * f.ratio,
		mbits: f.mbits * cpus, euro: f.euro * float64(cpus),
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
	all, each := object{"min_size": 0, "max_size": t.localGB * gigabyte}, object{"min_size": 0, "max_size": 0}
	if t.localGB > 0 {
		each = object{"min_size": gigabyte, "max_size": 800 * gigabyte}
	}
	var gpu any
	if t.gpus > 0 {
		gpu = object{"gpu_manufacturer": "NVIDIA", "gpu_name": "L4", "gpu_memory": 24 << 30}
	}
	return object{
		"alt_names": []string{}, "arch": t.arch, "ncpus": t.cpus, "ram": t.memoryGB << 30, "gpu": t.gpus, "gpu_info": gpu,
		"mig_profile": nil, "volumes_constraint": all, "per_volume_constraint": object{"l_ssd": each},
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
	views, err := typeViews()
	if err != nil {
		return nil, err
	}
	servers := object{}
	for _, t := range instancePage(c, catalogue()) {
		servers[t.name] = views[t.name]
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
