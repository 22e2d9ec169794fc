package settings

import (
	"errors"
	"testing"

	"sigs.k8s.io/yaml"
)

// FuzzParse: no input causes a panic. Accepted settings have the properties
// that NetworkPolicies and NO_PROXY rely on, and errors have a path.
func FuzzParse(f *testing.F) {
	for _, data := range []string{
		"", header, minimal, minimal + "dns: {pods: [{podLabels: {}}]}", minimal + "cluster: {cidrs: ['::ffff:0:0/96']}",
		minimal + "metrics: {bindAddress: '[::1%eth0]:0'}", minimal + "---\n" + minimal, "proxy: {addresses: {a: [b]}}",
		minimal + "proxy: {addresses: []}", "apiVersion: &a [*a]", minimal + "leaderElection: {enabled: 1e999}",
	} {
		f.Add([]byte(data))
	}
	if data, err := yaml.Marshal(Default()); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		settings, err := Parse(data)
		if (settings == nil) == (err == nil) {
			t.Fatalf("settings %v and error %v", settings, err)
		}
		if all, ok := errors.AsType[Errors](err); ok {
			for _, problem := range all {
				if problem.Field == "" || problem.Error() == "" {
					t.Errorf("an error without a path: %v", problem)
				}
			}
		}
		if err == nil {
			checkSettings(t, settings)
		}
	})
}

func checkSettings(t *testing.T, s *Settings) {
	t.Helper()
	if len(s.Proxy.Addresses) == 0 || len(s.DNS.Pods) == 0 || len(s.DNS.Pods[0].PodLabels) == 0 || s.DNS.Pods[0].Namespace == "" || len(s.DNS.Pods[0].Ports) == 0 || s.Cluster.Domain == "" || s.Admission.CertDir == "" {
		t.Errorf("a required value is missing: %+v", s)
	}
	for _, address := range s.Proxy.Addresses {
		if !address.IsGlobalUnicast() || address.Is4In6() || address.Zone() != "" {
			t.Errorf("proxy address %s", address)
		}
	}
	for _, prefix := range s.Cluster.CIDRs {
		if prefix.Bits() == 0 || prefix != prefix.Masked() {
			t.Errorf("CIDR %s", prefix)
		}
	}
}
