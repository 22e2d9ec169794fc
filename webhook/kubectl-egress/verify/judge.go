package verify

import (
	"slices"
	"strings"

	"egress.scw/webhook/probe"
)

// Outcome is the outcome of a check.
type Outcome string

// The outcomes of a check.
const (
	Passed  Outcome = "Passed"
	Failed  Outcome = "Failed"
	Skipped Outcome = "Skipped"
)

// Check is one statement about a tenant, and whether it holds.
type Check struct {
	Name    string  `json:"name"`
	States  string  `json:"states"`
	Outcome Outcome `json:"outcome"`
	// Message is the evidence against the statement, or why it was not checked.
	Message string `json:"message,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// Result are the checks of a tenant.
type Result struct {
	Tenant    string  `json:"tenant"`
	Namespace string  `json:"namespace"`
	Checks    []Check `json:"checks"`
}

// Failures is the number of checks that failed.
func (r *Result) Failures() int { return r.count(Failed) }

func (r *Result) count(outcome Outcome) int {
	found := 0
	for _, check := range r.Checks {
		if check.Outcome == outcome {
			found++
		}
	}
	return found
}

// check is one statement. fault returns the evidence against it and the remedy, "" if it
// holds. A check that needs the pod's report is skipped without it.
type check struct {
	name, states string
	inside       bool
	fault        func(*judge) (message, remedy string)
	// tries are the beginnings of the names of attempts whose failure proves the statement.
	tries []string
	// skip returns why the check cannot be made, "" if it can.
	skip func(*judge) string
}

// judge is an Input with its results by name.
type judge struct {
	Input
	results map[string]probe.Result
}

func (j *judge) result(name string) probe.Result {
	if result, ok := j.results[name]; ok {
		return result
	}
	return probe.Result{Name: name, Error: "the pod did not try it: the image is of another version than kubectl egress"}
}

// checks are all statements, in the order of the output.
func checks() []check {
	return []check{
		{name: "ready", states: "the tenant is ready", fault: (*judge).ready},
		{name: "published", states: "the tenant's source address is published", fault: (*judge).published},
		{name: "guards", states: "admins of namespaces cannot open them", fault: (*judge).guards},
		{name: "policy", states: "every namespace of the tenant has its NetworkPolicy, and no other client's opens a path", fault: (*judge).policy},
		{name: "pods", states: "every pod of the tenant has the present proxy variables", fault: (*judge).pods},
		{name: "pod", states: "a new pod is admitted, runs and is deleted", fault: (*judge).pod},
		{name: "injected", states: "a new pod gets the tenant's proxy", inside: true, fault: (*judge).injected},
		{name: "proxied", states: "the proxy serves the tenant and its Revision on its port", inside: true, skip: (*judge).unlessProxied, fault: (*judge).proxied},
		{name: "request", states: "a request gets the answer that the allow list requires", inside: true, fault: (*judge).request},
		{name: "address", states: "a request leaves by the published address", inside: true, skip: (*judge).unlessAnswered, fault: (*judge).address},
		{name: "direct", states: "no way leads past the proxy", inside: true, tries: []string{attemptDirect, attemptURLDirect}, skip: (*judge).unlessProxied, fault: (*judge).direct},
		{name: "other-ports", states: "the ports of other tenants and of the machine are closed", inside: true, tries: []string{attemptOtherPort}, fault: (*judge).otherPorts},
		{name: "metadata", states: "the metadata service is closed", inside: true, tries: []string{attemptMetadata}, fault: (*judge).metadata},
		{name: "captured", states: "a program without proxy settings reaches names by the sidecar", inside: true, tries: []string{attemptURLCaptured}, skip: (*judge).unlessCaptured, fault: (*judge).captured},
		{name: "cluster-dns", states: "the cluster's DNS answers", inside: true, fault: (*judge).clusterDNS},
		{name: "closed-dns", states: "DNS answers for names of the cluster alone", inside: true, tries: []string{attemptPublicName}, skip: (*judge).unlessClosed, fault: (*judge).closedDNS},
		{name: "outside-dns", states: "no other DNS server can be reached", inside: true, tries: []string{attemptOutsideDNS}, skip: (*judge).unlessProxied, fault: (*judge).outsideDNS},
	}
}

// Judge returns the checks of a tenant.
func Judge(in Input) Result {
	j := &judge{Input: in, results: map[string]probe.Result{}}
	if in.Report != nil {
		for _, result := range in.Report.Results {
			j.results[result.Name] = result
		}
	}
	planned := plannedFor(in)
	result := Result{Tenant: in.Tenant.Name, Namespace: in.Namespace.Name, Checks: []Check{}}
	for _, c := range checks() {
		outcome := Check{Name: c.name, States: c.states, Outcome: Passed}
		skip := ""
		if c.inside && in.Report == nil {
			skip = "no pod ran"
		} else if c.skip != nil {
			skip = c.skip(j)
		}
		if skip != "" {
			outcome.Outcome, outcome.Message = Skipped, skip
		} else {
			outcome.Message, outcome.Remedy = c.fault(j)
			if outcome.Message == "" {
				outcome.Message, outcome.Remedy = j.untried(c.tries, planned)
			}
			if outcome.Message != "" {
				outcome.Outcome = Failed
			}
		}
		result.Checks = append(result.Checks, outcome)
	}
	return result
}

// plannedFor returns the attempts that the pod should have made, none if there was no pod.
func plannedFor(in Input) []probe.Attempt {
	if in.Report == nil {
		return nil
	}
	return Plan(in).Attempts
}

// untried finds planned attempts that the pod did not make: an attempt that was not made
// does not prove that a path is closed.
func (j *judge) untried(tries []string, planned []probe.Attempt) (message, remedy string) {
	var missing []string
	for _, attempt := range planned {
		if !slices.ContainsFunc(tries, func(prefix string) bool { return strings.HasPrefix(attempt.Name, prefix) }) {
			continue
		}
		if result, found := j.results[attempt.Name]; !found || strings.HasPrefix(result.Error, probe.UnknownKind) {
			missing = append(missing, attempt.Name)
		}
	}
	if len(missing) == 0 {
		return "", ""
	}
	return "the pod did not try: " + strings.Join(missing, ", "), "name an image of the version of kubectl egress with --image"
}
