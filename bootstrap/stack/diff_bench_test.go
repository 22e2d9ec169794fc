package stack

import (
	"fmt"
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// manyTenants sets the maximum number of tenants: one for each port.
func manyTenants(s *Spec) {
	const most = names.TenantPortMax - names.TenantPortMin + 1
	tenant := s.Tenants[0]
	s.Tenants = nil
	for i := range most {
		tenant.Name, tenant.Proxy = fmt.Sprintf("client-%03d", i), &v1alpha1.TenantProxy{Port: names.TenantPortMin + int32(i)}
		s.Tenants = append(s.Tenants, tenant)
	}
}

// BenchmarkDiff plans for the maximum number of tenants.
func BenchmarkDiff(b *testing.B) {
	spec := newSpec(b, manyTenants)
	complete, err := filled(b, spec).Observe(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		observed *Observed
		steps    int
	}{
		{"nothing exists", &Observed{}, len(complete.Resources)},
		{"everything exists", complete, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan, err := Diff(spec, c.observed)
				if err != nil {
					b.Fatal(err)
				}
				if len(plan.Steps) != c.steps {
					b.Fatalf("%d steps, want %d", len(plan.Steps), c.steps)
				}
			}
		})
	}
}

// BenchmarkRender renders the user data of the proxy for the maximum number of tenants.
func BenchmarkRender(b *testing.B) {
	spec := newSpec(b, manyTenants)
	plan, err := filled(b, spec).diff(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		render func() ([]byte, error)
	}{
		{"squid.conf", plan.Graph.Proxies[0].SquidConf},
		{"squid.conf as user data", plan.Graph.Proxies[0].SquidConfValue},
		{"cloud-init", func() ([]byte, error) { return plan.Graph.Proxies[0].Server.CloudInit, plan.Graph.renderCloudInit() }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var text []byte
			for b.Loop() {
				if text, err = c.render(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(text)), "bytes")
		})
	}
}
