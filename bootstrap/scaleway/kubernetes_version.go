package scaleway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// kubernetesVersion returns the exact version that a new cluster gets.
func (c *Cloud) kubernetesVersion(ctx context.Context, cluster *stack.Cluster) (string, error) {
	list, err := c.k8s.ListVersions(&k8s.ListVersionsRequest{Region: c.region}, scw.WithContext(ctx))
	if err != nil {
		return "", err
	}
	return chooseVersion(list.Versions, cluster.Version, k8s.CNI(cluster.CNI), c.region, time.Now())
}

// chooseVersion returns the newest version that a cluster can be created with: of all
// versions, of the patches of a minor version, or an exact version itself. The API
// goes on listing a version that is deprecated, until the end of its life.
func chooseVersion(listed []*k8s.Version, wanted string, cni k8s.CNI, region scw.Region, now time.Time) (string, error) {
	var offered, matching, withCNI []*k8s.Version
	for _, version := range slices.SortedFunc(slices.Values(listed), newestFirst) {
		matches := wanted == "" || version.Name == wanted || strings.HasPrefix(version.Name, wanted+".")
		if matches {
			matching = append(matching, version)
		}
		if reached(version.DeprecatedAt, now) || reached(version.EndOfLifeAt, now) {
			continue
		}
		offered = append(offered, version)
		if slices.Contains(version.AvailableCnis, cni) {
			withCNI = append(withCNI, version)
		}
	}
	isOffered := func(v *k8s.Version) bool { return slices.Contains(offered, v) }
	hasCNI := func(v *k8s.Version) bool { return slices.Contains(withCNI, v) }
	if i := slices.IndexFunc(matching, hasCNI); i >= 0 {
		return matching[i].Name, nil
	}
	switch usable := slices.IndexFunc(matching, isOffered); {
	case len(offered) == 0:
		return "", fmt.Errorf("spec.cluster: Scaleway offers no version of Kubernetes in %s", region)
	case len(matching) == 0:
		return "", fmt.Errorf("spec.cluster.version: there is no Kubernetes %s in %s: there are %s", wanted, region, versionNames(offered))
	case usable < 0:
		return "", fmt.Errorf("spec.cluster.version: Scaleway creates no clusters with Kubernetes %s any more%s: choose one of %s, or leave version out for the newest",
			wanted, ending(matching[0]), versionNames(offered))
	default:
		version := matching[usable]
		return "", fmt.Errorf("spec.cluster.cni: Kubernetes %s has no %s, only %s; versions with it: %s",
			version.Name, cni, orNone(texts(version.AvailableCnis)), versionNames(withCNI))
	}
}

// reached reports whether a date has come. The API may omit dates.
func reached(date *time.Time, now time.Time) bool { return date != nil && !now.Before(*date) }

// ending describes why a version is not offered.
func ending(version *k8s.Version) string {
	var parts []string
	if version.DeprecatedAt != nil {
		parts = append(parts, "deprecated since "+version.DeprecatedAt.Format(time.DateOnly))
	}
	if version.EndOfLifeAt != nil {
		parts = append(parts, "end of life "+version.EndOfLifeAt.Format(time.DateOnly))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func versionNames(versions []*k8s.Version) string {
	names := make([]string, 0, len(versions))
	for _, version := range versions {
		names = append(names, version.Name)
	}
	return orNone(names)
}

func texts[S ~string](values []S) []string {
	result := make([]string, 0, len(values))
	for _, value := range values {
		result = append(result, string(value))
	}
	return result
}

// newestFirst compares versions by their numbers: 1.9 comes after 1.10. The API was
// recorded to list them in this order, and does not document it.
func newestFirst(a, b *k8s.Version) int {
	return slices.CompareFunc(strings.Split(b.Name, "."), strings.Split(a.Name, "."), func(x, y string) int {
		m, errX := strconv.Atoi(x)
		n, errY := strconv.Atoi(y)
		if errX != nil || errY != nil {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(m, n)
	})
}
