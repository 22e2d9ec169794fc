package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
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
func (r *Result) Failures() int {
	failures := 0
	for _, check := range r.Checks {
		if check.Outcome == Failed {
			failures++
		}
	}
	return failures
}

// check is one statement. fault returns the evidence against it and the remedy, "" if it
// holds. A check that needs the pod's report is skipped without it.
type check struct {
	name, states string
	inside       bool
	fault        func(*judge) (message, remedy string)
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
		{name: "pod", states: "a new pod is admitted and runs", fault: (*judge).pod},
		{name: "injected", states: "a new pod gets the tenant's proxy", inside: true, fault: (*judge).injected},
		{name: "proxied", states: "the proxy serves the tenant and its Revision on its port", inside: true, skip: (*judge).unlessProxied, fault: (*judge).proxied},
		{name: "request", states: "a request gets the answer that the allow list requires", inside: true, fault: (*judge).request},
		{name: "address", states: "a request leaves by the published address", inside: true, skip: (*judge).unlessAnswered, fault: (*judge).address},
		{name: "direct", states: "no way leads past the proxy", inside: true, skip: (*judge).unlessProxied, fault: (*judge).direct},
		{name: "other-ports", states: "the ports of other tenants and of the machine are closed", inside: true, fault: (*judge).otherPorts},
		{name: "metadata", states: "the metadata service is closed", inside: true, fault: (*judge).metadata},
		{name: "cluster-dns", states: "the cluster's DNS answers", inside: true, fault: (*judge).clusterDNS},
		{name: "outside-dns", states: "no other DNS server can be reached", inside: true, skip: (*judge).unlessProxied, fault: (*judge).outsideDNS},
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
		} else if outcome.Message, outcome.Remedy = c.fault(j); outcome.Message != "" {
			outcome.Outcome = Failed
		}
		result.Checks = append(result.Checks, outcome)
	}
	return result
}

// messages joins findings; the remedy is that of the first.
func messages(findings []coverage.Finding) (message, remedy string) {
	var texts []string
	for _, finding := range findings {
		texts = append(texts, finding.Object+" "+finding.Message)
	}
	if len(findings) > 0 {
		remedy = findings[0].Remedy
	}
	return strings.Join(texts, "; "), remedy
}

func (j *judge) ready() (message, remedy string) {
	findings := slices.Concat(coverage.OfWebhook(j.State), coverage.OfTenant(j.State, j.Tenant))
	return messages(slices.DeleteFunc(findings, coverage.Finding.IsUnpublished))
}

func (j *judge) published() (message, remedy string) {
	findings := coverage.OfTenant(j.State, j.Tenant)
	return messages(slices.DeleteFunc(findings, func(f coverage.Finding) bool { return !f.IsUnpublished() }))
}

func (j *judge) guards() (message, remedy string) { return messages(coverage.OfCluster(j.State)) }

func (j *judge) policy() (message, remedy string) {
	var findings []coverage.Finding
	for _, name := range j.State.NamespacesOf(j.Tenant.Name) {
		namespace, _ := j.State.Namespace(name)
		findings = append(findings, coverage.OfNamespace(j.State, namespace)...)
	}
	return messages(findings)
}

func (j *judge) pods() (message, remedy string) {
	const most = 5
	var texts []string
	uncovered := 0
	for _, pod := range j.Pods {
		if !pod.Kind.Uncovered() {
			continue
		}
		if uncovered++; uncovered <= most {
			texts, remedy = append(texts, fmt.Sprintf("pod %s/%s: %s: %s", pod.Namespace, pod.Name, pod.Kind, pod.Reason)), pod.Remedy
		}
	}
	if uncovered > most {
		texts = append(texts, fmt.Sprintf("and %d more pods", uncovered-most))
	}
	return strings.Join(texts, "; "), remedy
}

func (j *judge) pod() (message, remedy string) {
	if j.Report != nil {
		return "", ""
	}
	return j.NotRun, "correct the cause that the message names: an image with --image, a quota, the webhook, or the tenant's nodePool"
}

func (j *judge) injected() (message, remedy string) {
	const fix = "look at the MutatingWebhookConfiguration, at the labels of the namespace, and at the webhook's log"
	want := ""
	if j.Tenant.Spec.IsProxied() {
		want = j.State.Cluster.PodProxyURL(j.Tenant)
	}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		if got := j.Report.Environment[name]; got != want {
			return fmt.Sprintf("%s of a new pod is %q, want %q", name, got, want), fix
		}
	}
	return "", ""
}

func (j *judge) unlessProxied() string {
	if j.Tenant.Spec.IsProxied() {
		return ""
	}
	return "path Gateway has no proxy"
}

func (j *judge) proxied() (message, remedy string) {
	wanted := explain.Revision(j.Tenant)
	for _, own := range ownPorts(j.Input) {
		result := j.result(attemptOwnPort + own)
		served, revision := result.Header[names.HeaderTenant], result.Header[names.HeaderRevision]
		switch {
		case !result.Succeeded:
			return fmt.Sprintf("the proxy does not answer at %s: %s", own, result.Error), explain.Remedy(names.ReasonProxyUnreachable)
		case revision == "":
			return fmt.Sprintf("%s is no proxy of egress.scw: status %d without the header %s", own, result.Status, names.HeaderRevision), explain.Remedy(names.ReasonProxyUnreachable)
		case revision != wanted && served != "" && served != j.Tenant.Name:
			return fmt.Sprintf("the proxy serves tenant %s at %s", served, own), explain.Remedy(names.ReasonProxyOutOfSync)
		case revision != wanted:
			return fmt.Sprintf("the proxy serves Revision %s at %s, and the EgressTenant is %s", revision, own, wanted), explain.Remedy(names.ReasonProxyOutOfSync)
		}
	}
	return "", ""
}

func (j *judge) request() (message, remedy string) {
	if !j.Tenant.Spec.IsProxied() {
		if result := j.result(attemptURLDirect); !result.Succeeded {
			return fmt.Sprintf("%s does not answer: %s", j.URL.URL, result.Error), "look at the Public Gateway, and at NetworkPolicies of the namespace"
		}
		return "", ""
	}
	result, verdict := j.result(attemptURL), explain.Allowed(j.Tenant, j.URL)
	denied := result.Status == 403 && result.Header[names.HeaderRevision] != ""
	const fix = "look at the audit log: kubectl egress logs TENANT"
	switch {
	case !result.Succeeded:
		return fmt.Sprintf("%s got no answer by the proxy: %s", j.URL.URL, result.Error), fix
	case verdict.Passes() && denied:
		return fmt.Sprintf("the proxy denies %s, which the allow list covers", j.URL.URL), fix
	case verdict.Passes() && result.Status >= 500:
		return fmt.Sprintf("%s by the proxy: status %d", j.URL.URL, result.Status), fix
	case !verdict.Passes() && !denied:
		return fmt.Sprintf("the proxy lets %s pass (status %d), which rule %s denies", j.URL.URL, result.Status, verdict.Rule), fix
	}
	return "", ""
}

// answered is the result of the request for the URL.
func (j *judge) answered() probe.Result {
	if j.Tenant.Spec.IsProxied() {
		return j.result(attemptURL)
	}
	return j.result(attemptURLDirect)
}

func (j *judge) unlessAnswered() string {
	verdict := explain.Allowed(j.Tenant, j.URL)
	switch result := j.answered(); {
	case !verdict.Passes():
		return fmt.Sprintf("the tenant's list does not cover %s: name a URL that reports source addresses, and that it covers, with --url", j.URL.Host)
	case !result.Succeeded || result.Status != 200:
		return fmt.Sprintf("%s gave no answer", j.URL.URL)
	case len(j.State.Settings.Proxy.Egress.Of(j.Tenant)) == 0:
		return "no address is published"
	}
	return ""
}

func (j *judge) address() (message, remedy string) {
	const fix = "run bootstrap apply, and helm upgrade with the values.yaml that it writes"
	body := j.answered().Body
	seen, found := addressIn(body)
	if !found {
		return fmt.Sprintf("the answer of %s contains no address: %q", j.URL.URL, body), "name another URL with --url"
	}
	published := j.State.Settings.Proxy.Egress.Of(j.Tenant)
	if slices.Contains(published, seen) {
		return "", ""
	}
	return fmt.Sprintf("%s sees the address %s, and %s is published", j.URL.URL, seen, strings.Trim(fmt.Sprint(published), "[]")), fix
}

// addressIn returns the first IP address in a text.
func addressIn(text string) (netip.Addr, bool) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF.:", r) }) {
		if address, err := netip.ParseAddr(strings.Trim(word, ".")); err == nil {
			return address.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// open returns the names, behind the prefix, of the attempts that succeeded.
func (j *judge) open(prefix string) []string {
	var found []string
	for _, result := range j.Report.Results {
		if name, ok := strings.CutPrefix(result.Name, prefix); ok && result.Succeeded {
			found = append(found, name)
		}
	}
	return found
}

const fixPolicy = "look at the checks policy and guards: another policy, or a network plug-in without NetworkPolicy, opens it"

func (j *judge) direct() (message, remedy string) {
	open := j.open(attemptDirect)
	if result := j.result(attemptURLDirect); result.Succeeded {
		open = append(open, j.URL.URL.String())
	}
	if len(open) == 0 {
		return "", ""
	}
	return "reached without the proxy: " + strings.Join(open, ", "), fixPolicy
}

func (j *judge) otherPorts() (message, remedy string) {
	open := j.open(attemptOtherPort)
	var texts []string
	for _, port := range otherPorts(j.Input) {
		if slices.Contains(open, port.address) {
			texts = append(texts, fmt.Sprintf("%s of %s", port.address, port.owner))
		}
	}
	if len(texts) == 0 {
		return "", ""
	}
	return "reached: " + strings.Join(texts, ", "), fixPolicy
}

func (j *judge) metadata() (message, remedy string) {
	if open := j.open(attemptMetadata); len(open) > 0 {
		return "reached: " + strings.Join(open, ", "), fixPolicy
	}
	return "", ""
}

func (j *judge) clusterDNS() (message, remedy string) {
	if result := j.result(attemptClusterDNS); !result.Succeeded || len(result.Addresses) == 0 {
		return strings.TrimSuffix("kubernetes.default.svc."+j.State.Settings.Cluster.Domain+" does not resolve: "+result.Error, ": "),
			"correct the chart's values dns.pods (labels and ports of the DNS pods) and dns.nodeLocalAddress"
	}
	return "", ""
}

func (j *judge) outsideDNS() (message, remedy string) {
	if open := j.open(attemptOutsideDNS); len(open) > 0 {
		return "answered: " + strings.Join(open, ", "), fixPolicy
	}
	return "", ""
}
