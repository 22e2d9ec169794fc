package scwfake

import "slices"

// kubernetesVersion contains the differences between the available versions.
type kubernetesVersion struct {
	cnis, gates                     []string
	released, deprecated, endOfLife string
}

// kubernetesVersions are the three versions in the recordings. For 1.36.1 they
// contain only the name.
func kubernetesVersions() map[string]kubernetesVersion {
	all := []string{"cilium", "cilium_native", "calico", "kilo", "none"}
	return map[string]kubernetesVersion{
		"1.36.1": {
			all,
			[]string{"HPAScaleToZero", "ImageVolume"},
			"2026-06-15T00:00:00Z", "2027-06-15T00:00:00Z", "2027-08-15T00:00:00Z",
		},
		"1.34.1": {
			all,
			[]string{"HPAScaleToZero", "CPUManagerPolicyAlphaOptions", "ImageVolume"},
			"2025-09-29T00:00:00Z", "2026-09-29T00:00:00Z", "2026-11-29T00:00:00Z",
		},
		"1.33.4": {
			[]string{"cilium", "calico", "kilo", "none"},
			[]string{
				"HPAScaleToZero", "DRAAdminAccess", "DynamicResourceAllocation", "PodLevelResources",
				"CPUManagerPolicyAlphaOptions", "ImageVolume",
			},
			"2025-09-04T00:00:00Z", "2026-09-04T00:00:00Z", "2026-11-04T00:00:00Z",
		},
	}
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
		"released_at": v.released, "deprecated_at": v.deprecated, "end_of_life_at": v.endOfLife,
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
