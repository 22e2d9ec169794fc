package inject

import (
	"encoding/json"
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
	template, err := NewTemplate(cluster, tenant, namespace, nil)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// withNeighbours returns an injection like exampleInjection, with other neighbours.
func withNeighbours(t *testing.T, neighbours *Neighbours) *Injection {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy, tenant.Spec.Runtimes = &v1alpha1.TenantProxy{Port: 3129}, v1alpha1.Runtimes()
	injection, err := compute(exampleCluster(t), tenant, "orders", neighbours, nil)
	if err != nil {
		t.Fatal(err)
	}
	return injection
}

// TestNeighboursDoNotChangeTheHash: Services come and go, and do not make the pods of
// a namespace outdated.
func TestNeighboursDoNotChangeTheHash(t *testing.T) {
	with, without := withNeighbours(t, exampleNeighbours()), withNeighbours(t, nil)
	if hashOf(t, with) != hashOf(t, without) {
		t.Errorf("the hash is %s, without neighbours %s", hashOf(t, with), hashOf(t, without))
	}
	if with.Status == without.Status {
		t.Error("the status does not identify the values")
	}
}

// TestNeighbours: the names and addresses that NO_PROXY has from neighbours, in their
// order.
func TestNeighbours(t *testing.T) {
	for name, test := range map[string]struct {
		neighbours *Neighbours
		want       string
	}{
		"none":                      {nil, ""},
		"namespaces":                {&Neighbours{Namespaces: []string{"billing", "payments"}}, ".billing,.payments"},
		"namespace of a TLD":        {&Neighbours{Namespaces: []string{"app", "payments"}}, ".payments"},
		"Service":                   {&Neighbours{Services: []Service{{"backend", []string{"10.32.4.20"}}}}, "backend,10.32.4.20"},
		"both families":             {&Neighbours{Services: []Service{{"backend", []string{"10.32.4.20", "fd00::420"}}}}, "backend,10.32.4.20,fd00::420"},
		"headless":                  {&Neighbours{Services: []Service{{"stateful", []string{"None"}}}}, "stateful,.stateful"},
		"headless of a TLD":         {&Neighbours{Services: []Service{{"app", []string{"None"}}}}, ""},
		"headless, end of a TLD":    {&Neighbours{Services: []Service{{"rg", []string{"None"}}}}, ".rg"},
		"external name":             {&Neighbours{Services: []Service{{Name: "alias"}}}, "alias"},
		"TLD":                       {&Neighbours{Services: []Service{{"shop", []string{"10.32.4.20"}}}}, "10.32.4.20"},
		"number":                    {&Neighbours{Services: []Service{{"28", []string{"10.32.4.20"}}}}, "10.32.4.20"},
		"names before addresses":    {&Neighbours{Namespaces: []string{"z"}, Services: []Service{{"alpha", []string{"10.32.4.20"}}, {"beta", []string{"10.32.4.21"}}}}, "alpha,beta,.z,10.32.4.20,10.32.4.21"},
		"what the list has already": {&Neighbours{Services: []Service{{"kubernetes", []string{"10.32.0.1"}}}}, ""},
	} {
		injection := withNeighbours(t, test.neighbours)
		if got := strings.Join(injection.NoProxy[injection.settled:], ","); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if hosts := injection.runtimes.javaOptions[4].value; strings.Contains(test.want, "backend,") != strings.Contains(hosts, "|backend|") {
			t.Errorf("%s: Java gets %q", name, hosts)
		}
	}
}

// TestNeighboursAreBounded: what does not fit is left out from the end, with a warning,
// and the pod is not refused.
func TestNeighboursAreBounded(t *testing.T) {
	many := &Neighbours{}
	for i := range 400 {
		many.Namespaces = append(many.Namespaces, fmt.Sprintf("tenant-%03d", i))
	}
	for i := range 100 {
		many.Services = append(many.Services, Service{fmt.Sprintf("service-%03d", i), []string{fmt.Sprintf("10.32.1.%d", i)}})
	}
	injection := withNeighbours(t, many)
	value := joined(injection)
	if len(value) > noproxy.MaxBytes || len(value) < noproxy.MaxBytes-len(",.tenant-000") {
		t.Errorf("%d bytes", len(value))
	}
	if !strings.Contains(value, ",service-098,service-099,.tenant-000,.tenant-001,") || strings.Contains(value, ",10.32.1.") {
		t.Errorf("NO_PROXY has other entries first: %s", value)
	}
	left := 600 - (len(injection.NoProxy) - injection.settled)
	if want := fmt.Sprintf("leaves out %d of the namespace's Services", left); len(injection.Warnings) != 1 || !strings.Contains(injection.Warnings[0], want) {
		t.Errorf("warnings are %q, want %q", injection.Warnings, want)
	}
	if again := withNeighbours(t, many); joined(again) != value {
		t.Error("the order is not the same")
	}
}

// withRuntimes is newTemplate for a tenant with runtimes.
func withRuntimes(t *testing.T, runtimes ...v1alpha1.Runtime) *Template {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy, tenant.Spec.Runtimes = &v1alpha1.TenantProxy{Port: 3129}, runtimes
	template, err := NewTemplate(exampleCluster(t), tenant, "orders", nil)
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

// hashOf returns the hash in the status of an injection.
func hashOf(t *testing.T, injection *Injection) string {
	t.Helper()
	var status names.InjectionStatus
	if err := json.Unmarshal([]byte(injection.Status), &status); err != nil || status.Hash == "" || status.Values == "" {
		t.Fatalf("status %s: %v", injection.Status, err)
	}
	return status.Hash
}

// TestHash: the hash differs exactly if the configuration differs.
func TestHash(t *testing.T) {
	base := hashOf(t, mustCompute(t, newTemplate(t, 3129, "orders"), ""))
	if got := hashOf(t, mustCompute(t, newTemplate(t, 3129, "orders"), "own.example")); got != base {
		t.Errorf("an entry of a pod changes the hash from %s to %s", base, got)
	}
	java := withRuntimes(t, v1alpha1.RuntimeNode, v1alpha1.RuntimeJava)
	if got, want := hashOf(t, mustCompute(t, withRuntimes(t, v1alpha1.RuntimeJava, v1alpha1.RuntimeNode), "")), hashOf(t, mustCompute(t, java, "")); got != want {
		t.Errorf("the order of runtimes changes the hash from %s to %s", want, got)
	}
	for what, other := range map[string]*Template{
		"port":      newTemplate(t, 3130, "orders"),
		"namespace": newTemplate(t, 3129, "billing"),
		"noProxy":   newTemplate(t, 3129, "orders", "intranet.example.com"),
		"runtime":   java,
	} {
		if got := hashOf(t, mustCompute(t, other, "")); got == base {
			t.Errorf("another %s leaves the hash %s", what, got)
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
