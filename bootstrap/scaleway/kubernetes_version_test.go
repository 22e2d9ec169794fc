package scaleway

import (
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
)

func TestChooseVersion(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	day := func(text string) *time.Time {
		date, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return &date
	}
	both := []k8s.CNI{k8s.CNICilium, k8s.CNICiliumNative}
	version := func(name, deprecated, end string, cnis ...k8s.CNI) *k8s.Version {
		return &k8s.Version{Name: name, DeprecatedAt: day(deprecated), EndOfLifeAt: day(end), AvailableCnis: cnis}
	}
	// In no order: the API does not document one.
	listed := []*k8s.Version{
		version("1.9.1", "2026-11-29", "2027-01-29", k8s.CNICilium),
		version("1.10.2", "2027-06-01", "2027-08-01", k8s.CNICilium),
		version("1.11.0", "2026-11-28", "2027-01-28", both...), // since today
		version("1.10.12", "2027-06-01", "2027-08-01", k8s.CNICilium),
		version("1.8.5", "2026-09-29", "2026-11-29", both...),
		version("1.10.3", "2027-06-01", "2027-08-01", both...),
		{Name: "1.7.0", EndOfLifeAt: day("2026-11-01"), AvailableCnis: both},
	}
	undated := []*k8s.Version{{Name: "1.12.0", AvailableCnis: both}}
	const offered = "1.10.12, 1.10.3, 1.10.2, 1.9.1"
	for _, c := range []struct {
		name   string
		listed []*k8s.Version
		wanted string
		cni    k8s.CNI
		want   string // the version, or the error
	}{
		{"the newest one, by numbers", listed, "", k8s.CNICilium, "1.10.12"},
		{"the newest one with the plug-in", listed, "", k8s.CNICiliumNative, "1.10.3"},
		{"the newest patch", listed, "1.10", k8s.CNICilium, "1.10.12"},
		{"the newest patch with the plug-in", listed, "1.10", k8s.CNICiliumNative, "1.10.3"},
		{"exactly", listed, "1.10.2", k8s.CNICilium, "1.10.2"},
		{"deprecated tomorrow", listed, "1.9", k8s.CNICilium, "1.9.1"},
		{"without dates", undated, "", k8s.CNICilium, "1.12.0"},
		{"a part of a number", listed, "1.1", k8s.CNICilium, "spec.cluster.version: there is no Kubernetes 1.1 in fr-par: there are " + offered},
		{
			"deprecated since today", listed, "1.11", k8s.CNICilium,
			"spec.cluster.version: Scaleway creates no clusters with Kubernetes 1.11 any more (deprecated since 2026-11-28, end of life 2027-01-28): choose one of " + offered + ", or leave version out for the newest",
		},
		{
			"deprecated for long", listed, "1.8.5", k8s.CNICilium,
			"spec.cluster.version: Scaleway creates no clusters with Kubernetes 1.8.5 any more (deprecated since 2026-09-29, end of life 2026-11-29): choose one of " + offered + ", or leave version out for the newest",
		},
		{
			"at its end", listed, "1.7", k8s.CNICilium,
			"spec.cluster.version: Scaleway creates no clusters with Kubernetes 1.7 any more (end of life 2026-11-01): choose one of " + offered + ", or leave version out for the newest",
		},
		{
			"without the plug-in", listed, "1.10.2", k8s.CNICiliumNative,
			"spec.cluster.cni: Kubernetes 1.10.2 has no cilium_native, only cilium; versions with it: 1.10.3",
		},
		{"a plug-in that no version has", listed, "", k8s.CNIKilo, "spec.cluster.cni: Kubernetes 1.10.12 has no kilo, only cilium; versions with it: none"},
		{"nothing offered", listed[4:5], "", k8s.CNICilium, "spec.cluster: Scaleway offers no version of Kubernetes in fr-par"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := chooseVersion(c.listed, c.wanted, c.cni, "fr-par", now)
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
