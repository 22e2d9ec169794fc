package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/probe"
)

func (j *judge) pod() (message, remedy string) {
	if j.NotRun == "" {
		return "", ""
	}
	return j.NotRun, "correct the cause that the message names: an image with --image, a quota, the webhook, the tenant's nodePool, or the right to delete pods"
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
	result := j.result(attemptURL)
	if !result.Succeeded {
		return fmt.Sprintf("%s got no answer by the proxy: %s", j.URL.URL, result.Error), j.fixRequest()
	}
	return j.answerFault(result)
}

// fixRequest is the remedy for a wrong answer of the proxy.
func (j *judge) fixRequest() string {
	return "look at the proxy's audit log: kubectl egress logs " + j.Tenant.Name + " AUDIT-LOG"
}

// answerFault compares an answer of the proxy with the allow list.
func (j *judge) answerFault(result probe.Result) (message, remedy string) {
	verdict := explain.Allowed(j.Tenant, j.URL)
	// The refusal of a tunnel has no Revision where the proxy inspects tunnels.
	denied := result.Status == 403 && (result.Refused || result.Header[names.HeaderRevision] != "")
	switch {
	case verdict.Passes() && denied:
		return fmt.Sprintf("the proxy denies %s, which the allow list covers", j.URL.URL), j.fixRequest()
	case verdict.Passes() && result.Status >= 500:
		return fmt.Sprintf("%s by the proxy: status %d", j.URL.URL, result.Status), j.fixRequest()
	case !verdict.Passes() && !denied:
		return fmt.Sprintf("the proxy lets %s pass (status %d), which rule %s denies", j.URL.URL, result.Status, verdict.Rule), j.fixRequest()
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
