package inject

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// usual is a generous bound on the time for a pod of the largest size. Where the time
// grows with the square of the size, such a pod takes minutes.
const usual = 20 * time.Second

// largest is about the size of the largest request that the API server accepts.
const largest = 3 << 20

func withinUsual(t *testing.T, work func()) {
	t.Helper()
	start := time.Now()
	if work(); time.Since(start) > usual {
		t.Errorf("it took %s", time.Since(start))
	}
}

// TestOpenReferences: values with many references that are not closed take no more time
// than others.
func TestOpenReferences(t *testing.T) {
	value := strings.Repeat("$(", largest/4)
	pod := mustDecode(t, []byte(`{"spec":{"containers":[{"name":"web","env":[{"name":"NO_PROXY","value":"`+value+`"},{"name":"http_proxy","value":"`+value+`"}]}]}}`))
	injection := exampleInjection(t)
	withinUsual(t, func() {
		if patch := NewPatch(pod, injection, nil); !strings.Contains(string(patch.JSON), `"name":"HTTP_PROXY","value":"$(http_proxy)"`) {
			t.Error("values that refer to nothing are taken for references")
		}
	})
}

// TestManySearchDomains: so do search paths with more domains than the API server accepts.
func TestManySearchDomains(t *testing.T) {
	domains := make([]string, 200_000)
	for i := range domains {
		domains[i] = strconv.Itoa(i / 2)
	}
	withinUsual(t, func() {
		if all, _ := (&dns{searches: []string{"svc", "7"}}).search(domains); len(all) != len(domains)/2+1 {
			t.Errorf("%d domains of %d", len(all), len(domains))
		}
	})
}

// TestManyEntries: lists of many entries take no more memory than their text.
func TestManyEntries(t *testing.T) {
	list := strings.Repeat("a,", largest/2)
	own := &former{entries: map[string]bool{"a": true, "": true}}
	for name, work := range map[string]func(){
		"own part": func() {
			if rest := own.ownPart("b," + list); rest != "b" {
				t.Errorf("%d bytes are left", len(rest))
			}
		},
		"extended": func() {
			if !extended("b", "b,"+list, map[string]bool{"a": true, "": true}) || extended("b", "b,a,"+list+"c", map[string]bool{"c": true}) {
				t.Error("entries of ours are not recognised")
			}
		},
		"extended Java": func() {
			if extendedJava("", strings.Repeat("- ", largest/2)) || !extendedJava("", strings.Repeat(javaHTTPHost+" ", largest/len(javaHTTPHost))) {
				t.Error("options of ours are not recognised")
			}
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		work()
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 5*largest {
			t.Errorf("%s: %d bytes for a text of %d", name, allocated, largest)
		}
	}
}

// TestLongSkipAnnotation: the annotation is read up to a bound that no valid pod reaches.
func TestLongSkipAnnotation(t *testing.T) {
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3129}
	template, err := NewTemplate(exampleCluster(t), tenant, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Repeat(strings.Repeat("x", 63)+",", maxContainers)
	if _, err := template.Compute(map[string]string{names.AnnotationSkipContainers: list}); err != nil {
		t.Errorf("the names of all containers: %v", err)
	}
	_, err = template.Compute(map[string]string{names.AnnotationSkipContainers: strings.Repeat("x,", largest/2), names.AnnotationNoProxy: "a b"})
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || refusal.Reason != names.ReasonInvalidAnnotation || len(refusal.Message) > 1<<10 ||
		!strings.Contains(refusal.Message, "metadata.annotations[egress.scw/skip-containers]: Too long") || !strings.Contains(refusal.Message, "egress.scw/no-proxy") {
		t.Errorf("error is %v", err)
	}
}
