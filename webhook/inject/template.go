package inject

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

// Template is the injection that the pods of one namespace have in common,
// before their own annotations are read. It is safe for concurrent use, and
// valid as long as the tenant's spec, its Service's address and the neighbours stay the
// same.
type Template struct {
	tenant        string
	tenantEntries []noproxy.Entry
	noProxy       noproxy.List
	clusterBytes  int // of noProxy, without the tenant's entries
	runtimes      []v1alpha1.Runtime
	neighbours    []string              // entries that are added last, as far as there is room
	status        names.InjectionStatus // without the values
	warnings      []string
	injection     Injection // of pods without annotations
}

// NewTemplate computes the template of a namespace of the tenant, which has the
// neighbours; nil stands for none. The error is a *Refusal if the tenant is not valid,
// or if the settings do not have what it needs.
func NewTemplate(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string, neighbours *Neighbours) (*Template, error) {
	if errs := tenant.Validate(); len(errs) > 0 {
		return nil, &Refusal{names.ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: %s", tenant.Name, errs.ToAggregate())}
	}
	if refusal := cluster.Unsupported(tenant); refusal != nil {
		return nil, refusal
	}
	list := cluster.forNamespace(namespace)
	t := &Template{tenant: tenant.Name, noProxy: list, clusterBytes: list.Bytes()}
	if noproxy.IsPublicSuffix(namespace) {
		t.warnings = []string{fmt.Sprintf(
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
	t.warnings = append(t.warnings, leftOut(t.tenantEntries, "spec.noProxy of EgressTenant "+tenant.Name)...)
	t.runtimes, t.neighbours = slices.Sorted(slices.Values(tenant.Spec.Runtimes)), neighbours.entries()
	t.injection.nodePool = tenant.Spec.NodePool.DeepCopy()
	t.setRoute(cluster, tenant, namespace)
	t.status = names.InjectionStatus{Tenant: tenant.Name, Hash: hash(t.configuration()...), Version: cluster.version}
	t.complete(&t.injection, t.noProxy.Clone(), t.runtimes)
	return t, nil
}

// setRoute sets the way to the proxy: the tenant's Service or port, or the sidecar.
func (t *Template) setRoute(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string) {
	i := &t.injection
	i.portURL = cluster.ProxyURL(tenant)
	i.sidecarRequired = cluster.settings.Proxy.Identity == v1alpha1.IdentityRequired
	i.dns = newDNS(cluster, tenant, namespace)
	i.setProxy(cluster.PodProxyURL(tenant))
	if tenant.Spec.HasSidecar() {
		i.sidecar = newSidecar(cluster.settings.Sidecar.Image, &tenant.Spec)
	}
}

// configuration returns the parts of the injected configuration that the status
// identifies.
func (t *Template) configuration() []string {
	parts := []string{t.injection.ProxyURL, strings.Join(t.noProxy.Entries(), ",")}
	for _, runtime := range t.runtimes {
		parts = append(parts, string(runtime))
	}
	if t.injection.sidecar != nil {
		parts = append(parts, t.injection.sidecar.container.encoded)
	}
	if t.injection.dns != nil {
		parts = append(parts, t.injection.dns.encoded)
	}
	return parts
}

// complete sets the variables of an injection: the list is that of NO_PROXY without
// the neighbours, which are added as far as there is room.
func (t *Template) complete(injection *Injection, list noproxy.List, runtimes []v1alpha1.Runtime) {
	injection.Warnings, injection.settled = t.warnings, len(list.Entries())
	if left := list.AddUpTo(noproxy.MaxBytes, t.neighbours...); left > 0 {
		injection.Warnings = append(slices.Clip(t.warnings), fmt.Sprintf(
			"NO_PROXY would be longer than %d bytes, so it leaves out %d of the namespace's Services, by name or address, and of the tenant's namespaces", noproxy.MaxBytes, left))
	}
	injection.setNoProxy(list.Entries(), t.status)
	injection.setRuntimes(runtimes)
}

// Compute returns the injection of a pod of the namespace: the template, and the
// pod's own annotations. The error is a *Refusal that contains every error in
// the annotations.
func (t *Template) Compute(annotations map[string]string) (*Injection, error) {
	skip, noProxy := annotations[names.AnnotationSkipContainers], annotations[names.AnnotationNoProxy]
	own, hasOwn := annotations[names.AnnotationRuntimes]
	if skip == "" && noProxy == "" && !hasOwn {
		return &t.injection, t.checkLength(t.noProxy.Bytes())
	}
	list, runtimes := t.noProxy, t.runtimes
	var warnings []string
	skipped, errs := parseSkipAnnotation(skip)
	if noProxy != "" {
		var invalid field.ErrorList
		list, warnings, invalid = t.withEntries(noProxy)
		errs = append(errs, invalid...)
	}
	if hasOwn {
		var invalid field.ErrorList
		runtimes, invalid = parseRuntimesAnnotation(own)
		errs = append(errs, invalid...)
	}
	if len(errs) > 0 {
		return nil, &Refusal{names.ReasonInvalidAnnotation, errs.ToAggregate().Error()}
	}
	injection := t.injection
	injection.Skip = skipped
	if noProxy != "" || hasOwn {
		t.complete(&injection, list.Clone(), runtimes)
		injection.Warnings = append(slices.Clip(injection.Warnings), warnings...)
	}
	return &injection, t.checkLength(list.Bytes())
}

// withEntries returns the list with those of the annotation, which must not be empty,
// and warnings to the author of the pod.
func (t *Template) withEntries(annotation string) (noproxy.List, []string, field.ErrorList) {
	entries, errs := parseNoProxyAnnotation(annotation, t.tenantEntries)
	list := t.noProxy.Clone() // other pods extend the same list at the same time
	for _, entry := range entries {
		list.AddEntry(entry)
	}
	return list, leftOut(entries, "annotation "+names.AnnotationNoProxy), errs
}

// leftOut returns a warning about the entries of a source that NO_PROXY leaves out.
func leftOut(entries []noproxy.Entry, source string) []string {
	var ranges []string
	for _, entry := range entries {
		if entry.IsIPv6Range() {
			ranges = append(ranges, entry.String())
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s has ranges of IPv6 addresses, with which some clients do not start, so NO_PROXY leaves them out: %s", source, strings.Join(ranges, ", "))}
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
