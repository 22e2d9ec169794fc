package inject

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

func newTemplate(t *testing.T, port int32, namespace string, noProxy ...string) *Template {
	t.Helper()
	cluster := exampleCluster(t)
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: port}
	tenant.Spec.NoProxy = noProxy
	template, err := NewTemplate(cluster, tenant, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func mustCompute(t *testing.T, template *Template, noProxy string) *Injection {
	t.Helper()
	injection, err := template.Compute(map[string]string{names.AnnotationNoProxy: noProxy})
	if err != nil {
		t.Fatal(err)
	}
	return injection
}

func joined(injection *Injection) string { return strings.Join(injection.NoProxy, ",") }

// TestHash: the hash differs exactly if the configuration differs.
func TestHash(t *testing.T) {
	base := mustCompute(t, newTemplate(t, 3129, "orders"), "").Status
	if got := mustCompute(t, newTemplate(t, 3129, "orders"), "own.example").Status; got != base {
		t.Errorf("an entry of a pod changes the status from %s to %s", base, got)
	}
	for what, other := range map[string]*Template{
		"port":      newTemplate(t, 3130, "orders"),
		"namespace": newTemplate(t, 3129, "billing"),
		"noProxy":   newTemplate(t, 3129, "orders", "intranet.example.com"),
	} {
		if got := mustCompute(t, other, "").Status; got == base {
			t.Errorf("another %s leaves the status %s", what, got)
		}
	}
}

// TestPodsShareNoEntries: pods of one namespace share a template, but do not get
// the entries of each other's annotations.
func TestPodsShareNoEntries(t *testing.T) {
	// After an entry of the tenant was added, the list has spare capacity.
	template := newTemplate(t, 3129, "orders", "intranet.example.com")
	var injections []*Injection
	for i := range 3 {
		injections = append(injections, mustCompute(t, template, fmt.Sprintf("own-%d.example", i)))
	}
	for i, injection := range injections {
		name := fmt.Sprintf("own-%d.example", i)
		if got := joined(injection); !strings.HasSuffix(got, ","+name+",."+name) || strings.Count(got, "own-") != 2 {
			t.Errorf("%s has %s", name, got)
		}
	}
	if got := joined(mustCompute(t, template, "")); strings.Contains(got, "own-") {
		t.Errorf("the template has %s", got)
	}
}

func TestNoProxyBound(t *testing.T) {
	template := newTemplate(t, 3129, "orders")
	cost := func(length int) int { return 2*length + len(",,.") } // of a name of this length
	room := noproxy.MaxBytes - template.noProxy.Bytes()
	var entries []string
	for ; room > cost(250); room -= cost(200) {
		entries = append(entries, nameOfLength(len(entries), 200))
	}
	fits := (room - cost(0)) / 2
	injection := mustCompute(t, template, strings.Join(append(entries, nameOfLength(99, fits)), ","))
	if got := len(joined(injection)); got != noproxy.MaxBytes && got != noproxy.MaxBytes-1 {
		t.Errorf("NO_PROXY has %d bytes, was to fill the bound of %d", got, noproxy.MaxBytes)
	}
	_, err := template.Compute(map[string]string{
		names.AnnotationNoProxy: strings.Join(append(entries, nameOfLength(99, fits+1)), ","),
	})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Reason != names.ReasonNoProxyTooLong {
		t.Errorf("two bytes more: error %v, want a refusal for %s", err, names.ReasonNoProxyTooLong)
	}
}

// nameOfLength returns a domain name of this length, of at least 10 bytes.
func nameOfLength(number, length int) string {
	name := fmt.Sprintf("n%02d", number)
	for len(name) < length {
		if len(name)%50 == 40 && length-len(name) > 1 {
			name += "."
		}
		name += "x"
	}
	return name
}

func TestAnnotationTooLong(t *testing.T) {
	_, err := newTemplate(t, 3129, "orders").Compute(map[string]string{
		names.AnnotationNoProxy: strings.Repeat("\n", noproxy.MaxBytes+1),
	})
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || refusal.Reason != names.ReasonInvalidAnnotation || len(refusal.Message) > 500 {
		t.Errorf("error %v, want a short refusal for %s", err, names.ReasonInvalidAnnotation)
	}
}
