package scwfake

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// kubernetesVersion contains the differences between the listed versions.
type kubernetesVersion struct {
	cnis, gates []string
	// age is the number of days since the release.
	age int
}

// The recorded lifetimes of versions, in days after the release. A deprecated version
// stays listed until the end of its life, but no cluster can be created with it.
const (
	deprecatedAfter = 365
	endOfLifeAfter  = 426
)

// kubernetesVersions are versions of the recordings. Their ages are relative to the
// current time, so that the fake offers the same versions in every year: all but
// 1.33.4, which is deprecated. The recordings contain only the names of 1.36.1 and
// 1.35.3.
func kubernetesVersions() map[string]kubernetesVersion {
	all := []string{"cilium", "cilium_native", "calico", "kilo", "none"}
	return map[string]kubernetesVersion{
		"1.36.1": {all, []string{"HPAScaleToZero", "ImageVolume"}, 60},
		"1.35.3": {all, []string{"HPAScaleToZero", "ImageVolume"}, 180},
		"1.34.1": {all, []string{"HPAScaleToZero", "CPUManagerPolicyAlphaOptions", "ImageVolume"}, 300},
		"1.33.4": {
			[]string{"cilium", "calico", "kilo", "none"},
			[]string{
				"HPAScaleToZero", "DRAAdminAccess", "DynamicResourceAllocation", "PodLevelResources",
				"CPUManagerPolicyAlphaOptions", "ImageVolume",
			},
			deprecatedAfter + 20,
		},
	}
}

func (v kubernetesVersion) deprecated() bool { return v.age >= deprecatedAfter }

// stampAfter returns a day of the version's life, which is given as the number of days
// after the release.
func (v kubernetesVersion) stampAfter(days int) string {
	return time.Now().UTC().AddDate(0, 0, days-v.age).Format(time.DateOnly) + "T00:00:00Z"
}

func (v kubernetesVersion) view(region, name string) object {
	return object{
		"region": region, "name": name, "label": "Kubernetes " + name,
		"available_cnis": v.cnis, "available_feature_gates": v.gates,
		"available_container_runtimes": []string{"containerd"},
		"available_admission_plugins":  []string{"AlwaysPullImages", "PodNodeSelector", "PodTolerationRestriction"},
		"available_kubelet_args": map[string]string{
			"containerLogMaxFiles": "uint16", "containerLogMaxSize": "quantity", "cpuManagerPolicy": "enum:none|static",
			"evictionHard": "map[string]string", "maxPods": "uint16", "registryBurst": "int32", "registryPullQPS": "int32",
		},
		"released_at": v.stampAfter(0), "deprecated_at": v.stampAfter(deprecatedAfter), "end_of_life_at": v.stampAfter(endOfLifeAfter),
	}
}

// checkVersion returns the refusal of a new cluster with a version that is not listed,
// is deprecated, or lacks the network plug-in. Reconstructed: no recording contains a
// refused creation.
func checkVersion(name, cni string) error {
	version, ok := kubernetesVersions()[name]
	switch {
	case !ok:
		return invalidArgument("version", "constraint", "unknown version "+name)
	case version.deprecated():
		return invalidArgument("version", "constraint", name+" is deprecated")
	case !slices.Contains(version.cnis, cni):
		return invalidArgument("cni", "constraint", fmt.Sprintf("%q is not available for %s, only %s", cni, name, strings.Join(version.cnis, ", ")))
	default:
		return nil
	}
}

// listVersions answers the newest version first.
func (a *API) listVersions(c *call) (any, error) {
	versions := kubernetesVersions()
	list := []object{}
	for _, name := range slices.Backward(sortedKeys(versions)) {
		list = append(list, versions[name].view(c.place(), name))
	}
	return object{"versions": list}, nil
}

func (a *API) getVersion(c *call) (any, error) {
	version, ok := kubernetesVersions()[c.values["name"]]
	if !ok {
		return nil, notFound("version", c.values["name"])
	}
	return version.view(c.place(), c.values["name"]), nil
}
