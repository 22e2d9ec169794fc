package inject

import (
	"fmt"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

// Template is the injection that the pods of one namespace have in common,
// before their own annotations are read. It is safe for concurrent use, and
// valid as long as the tenant's spec stays the same.
type Template struct {
	tenant        string
	tenantEntries []noproxy.Entry
	noProxy       noproxy.List
	clusterBytes  int // of noProxy, without the tenant's entries
	injection     Injection
}

// NewTemplate computes the template of a namespace of the tenant. The error is a
// *Refusal if the tenant is not valid.
func NewTemplate(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string) (*Template, error) {
	if errs := tenant.Validate(); len(errs) > 0 {
		return nil, &Refusal{names.ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: %s", tenant.Name, errs.ToAggregate())}
	}
	list := cluster.forNamespace(namespace)
	t := &Template{tenant: tenant.Name, noProxy: list, clusterBytes: list.Bytes()}
	if noproxy.IsPublicSuffix(namespace) {
		t.injection.Warnings = []string{fmt.Sprintf(
			"the namespace is called like the public domain .%[1]s, so NO_PROXY leaves it out: reach its Services as NAME.%[1]s.svc, not NAME.%[1]s", namespace)}
	}
	addAccess(&t.noProxy, tenant)
	for _, text := range tenant.Spec.NoProxy {
		entry, err := noproxy.Parse(text)
		if err != nil {
			return nil, &Refusal{names.ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: spec.noProxy: %q %v", tenant.Name, text, err)}
		}
		t.tenantEntries = append(t.tenantEntries, entry)
		t.noProxy.AddEntry(entry)
	}
	proxyURL, noProxy := cluster.ProxyURL(tenant), strings.Join(t.noProxy.Entries(), ",")
	t.injection.ProxyURL, t.injection.nodePool = proxyURL, tenant.Spec.NodePool.DeepCopy()
	t.injection.httpProxy = newPair(envHTTPProxy, envHTTPProxyLower, proxyURL)
	t.injection.httpsProxy = newPair(envHTTPSProxy, envHTTPSProxyLower, proxyURL)
	t.injection.setNoProxy(t.noProxy.Entries(), noProxy)
	t.injection.setStatus(names.InjectionStatus{Tenant: tenant.Name, Hash: hash(proxyURL, noProxy), Version: cluster.version})
	return t, nil
}

// Compute returns the injection of a pod of the namespace: the template, and the
// pod's own annotations. The error is a *Refusal that contains every error in
// the annotations.
func (t *Template) Compute(annotations map[string]string) (*Injection, error) {
	skip, text := annotations[names.AnnotationSkipContainers], annotations[names.AnnotationNoProxy]
	if skip == "" && text == "" {
		return &t.injection, t.checkLength(t.noProxy.Bytes())
	}
	injection := t.injection
	injection.Skip = splitNames(skip)
	if text == "" {
		return &injection, t.checkLength(t.noProxy.Bytes())
	}
	entries, errs := parseNoProxyAnnotation(text, t.tenantEntries)
	if len(errs) > 0 {
		return nil, &Refusal{names.ReasonInvalidAnnotation, errs.ToAggregate().Error()}
	}
	// Other pods extend the same list at the same time.
	list := t.noProxy.Clone()
	for _, entry := range entries {
		list.AddEntry(entry)
	}
	injection.setNoProxy(list.Entries(), strings.Join(list.Entries(), ","))
	return &injection, t.checkLength(list.Bytes())
}

// checkLength returns a *Refusal if NO_PROXY exceeds its bound. The message
// attributes the bytes to their sources.
func (t *Template) checkLength(total int) error {
	if total <= noproxy.MaxBytes {
		return nil
	}
	return &Refusal{names.ReasonNoProxyTooLong, fmt.Sprintf("NO_PROXY would have %d bytes, of %d at most: %d are the cluster's and the namespace's, "+
		"%d those of spec.noProxy of EgressTenant %s, %d those of %s: shorten the latter two",
		total, noproxy.MaxBytes, t.clusterBytes,
		t.noProxy.Bytes()-t.clusterBytes, t.tenant, total-t.noProxy.Bytes(), noProxyAnnotation())}
}
