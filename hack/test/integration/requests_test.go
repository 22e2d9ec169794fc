package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// webhookUser is the webhook in the audit log of the API server.
const webhookUser = "system:serviceaccount:" + releaseNamespace + ":" + releaseName

// requestLog reads the webhook's requests in the audit log.
type requestLog struct{ position int64 }

// newRequestLog returns a log of the requests from now on.
func newRequestLog(t testing.TB) *requestLog {
	t.Helper()
	log := &requestLog{}
	log.next(t)
	return log
}

// requests are numbers of requests by verb and resource, as "patch networkpolicies".
type requests map[string]int

// next returns the requests since the last call.
func (l *requestLog) next(t testing.TB) requests {
	t.Helper()
	events, position, err := shared.cluster.Audit(l.position)
	if err != nil {
		t.Fatal(err)
	}
	l.position = position
	counted := requests{}
	for i := range events {
		resource := "no resource"
		if reference := events[i].ObjectRef; reference != nil {
			resource = strings.TrimSuffix(reference.Resource+"/"+reference.Subresource, "/")
		}
		counted[events[i].Verb+" "+resource]++
	}
	return counted
}

// sum returns the number of requests of the resource with one of the verbs.
func (r requests) sum(resource string, verbs ...string) int {
	sum := 0
	for request, count := range r {
		verb, of, _ := strings.Cut(request, " ")
		if of == resource && slices.Contains(verbs, verb) {
			sum += count
		}
	}
	return sum
}

// writes returns the number of writes, without those by which the leader shows that
// it runs.
func (r requests) writes() int {
	writes := 0
	for request, count := range r {
		if verb, of, _ := strings.Cut(request, " "); of != "leases" && !slices.Contains([]string{"get", "list", "watch"}, verb) {
			writes += count
		}
	}
	return writes
}

func (r requests) String() string {
	var parts []string
	for _, request := range slices.Sorted(maps.Keys(r)) {
		parts = append(parts, fmt.Sprintf("%d %s", r[request], request))
	}
	return strings.Join(parts, ", ")
}
