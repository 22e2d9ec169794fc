package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

// Configuration is what all pods of one namespace are given, before their own
// annotations are read.
type Configuration struct {
	tenant        string
	tenantEntries []noproxy.Entry
	noProxy       noproxy.List
	clusterBytes  int // of noProxy, without the tenant's entries
	injection     Injection
}

// Injection is what a pod is given.
type Injection struct {
	// ProxyURL is for HTTP_PROXY and HTTPS_PROXY.
	ProxyURL string
	// NoProxy are the entries of NO_PROXY.
	NoProxy []string
	// Status is the value of the pod's status annotation.
	Status string
	// Skip are the names of containers to be left as they are.
	Skip []string
	// Warnings are for whoever made the pod.
	Warnings []string

	// The variables, made once for all containers.
	httpProxy, httpsProxy, noProxy pair
}

func (i *Injection) setNoProxy(entries []string, joined string) {
	i.NoProxy = entries
	i.noProxy = newPair("NO_PROXY", "no_proxy", joined)
}

// Configure computes what the pods of a namespace have in common. It serves as
// long as the tenant's spec stays the same. The error is a *Refusal, for a
// tenant that is not valid.
func Configure(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string) (*Configuration, error) {
	if errs := tenant.Validate(); len(errs) > 0 {
		return nil, &Refusal{names.ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: %s", tenant.Name, errs.ToAggregate())}
	}
	list := cluster.forNamespace(namespace)
	c := &Configuration{tenant: tenant.Name, noProxy: list, clusterBytes: list.Bytes()}
	if noproxy.IsPublicSuffix(namespace) {
		c.injection.Warnings = []string{fmt.Sprintf(
			"the namespace is called like the public domain .%[1]s, so NO_PROXY leaves it out: reach its Services as NAME.%[1]s.svc, not NAME.%[1]s", namespace)}
	}
	for _, text := range tenant.Spec.NoProxy {
		entry, err := noproxy.Parse(text)
		if err != nil {
			return nil, &Refusal{names.ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: spec.noProxy: %q %v", tenant.Name, text, err)}
		}
		c.tenantEntries = append(c.tenantEntries, entry)
		c.noProxy.AddEntry(entry)
	}
	proxyURL, noProxy := cluster.ProxyURL(tenant), strings.Join(c.noProxy.Entries(), ",")
	c.injection.ProxyURL = proxyURL
	c.injection.httpProxy = newPair("HTTP_PROXY", "http_proxy", proxyURL)
	c.injection.httpsProxy = newPair("HTTPS_PROXY", "https_proxy", proxyURL)
	c.injection.setNoProxy(c.noProxy.Entries(), noProxy)
	c.injection.Status = encodeStatus(names.InjectionStatus{Tenant: tenant.Name, Hash: hash(proxyURL, noProxy), Version: cluster.version})
	return c, nil
}

// hash identifies what was injected, the pod's own entries aside: the pods of
// a namespace whose hashes differ were made under different configurations.
// 64 bits are plenty, as nobody gains by making two collide.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func encodeStatus(s names.InjectionStatus) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic("three strings do not fail to encode: " + err.Error())
	}
	return string(text)
}

// Compute returns what a pod is given: the configuration of its namespace, and
// what its annotations add. The error is a *Refusal that names everything that
// is wrong with them.
func Compute(configuration *Configuration, annotations map[string]string) (*Injection, error) {
	injection := configuration.injection
	injection.Skip = splitNames(annotations[names.AnnotationSkipContainers])
	list := configuration.noProxy
	if text := annotations[names.AnnotationNoProxy]; text != "" {
		entries, errs := parsePodEntries(text, configuration.tenantEntries)
		if len(errs) > 0 {
			return nil, &Refusal{names.ReasonInvalidAnnotation, errs.ToAggregate().Error()}
		}
		// Another pod adds to the same list at the same time.
		list = list.Clone()
		for _, entry := range entries {
			list.AddEntry(entry)
		}
		injection.setNoProxy(list.Entries(), strings.Join(list.Entries(), ","))
	}
	if list.Bytes() > noproxy.MaxBytes {
		return nil, &Refusal{names.ReasonNoProxyTooLong, configuration.tooLong(list.Bytes())}
	}
	return &injection, nil
}

// tooLong says whose entries take the space.
func (c *Configuration) tooLong(total int) string {
	return fmt.Sprintf("NO_PROXY would have %d bytes, of %d at most: %d are the cluster's and the namespace's, "+
		"%d those of spec.noProxy of EgressTenant %s, %d those of %s: shorten the latter two",
		total, noproxy.MaxBytes, c.clusterBytes,
		c.noProxy.Bytes()-c.clusterBytes, c.tenant, total-c.noProxy.Bytes(), noProxyAnnotation())
}

func noProxyAnnotation() *field.Path {
	return field.NewPath("metadata", "annotations").Key(names.AnnotationNoProxy)
}

// maxPodEntries is as many as a tenant may have.
const maxPodEntries = 64

// parsePodEntries reads the annotation that adds to NO_PROXY. Whoever writes
// pods is not trusted to take whole public domains off the proxy by a slip;
// the tenant's own list is.
func parsePodEntries(text string, tenant []noproxy.Entry) ([]noproxy.Entry, field.ErrorList) {
	path := noProxyAnnotation()
	if len(text) > noproxy.MaxBytes {
		return nil, field.ErrorList{field.TooLong(path, "", noproxy.MaxBytes)}
	}
	texts := strings.Split(text, ",")
	if len(texts) > maxPodEntries {
		return nil, field.ErrorList{field.TooMany(path, len(texts), maxPodEntries)}
	}
	var errs field.ErrorList
	entries := make([]noproxy.Entry, 0, len(texts))
	for i, text := range texts {
		entry, err := noproxy.Parse(strings.Trim(text, " \t"))
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		case entry.CoversPublicHosts() && !slices.Contains(tenant, entry):
			errs = append(errs, field.Forbidden(path.Index(i), fmt.Sprintf(
				"%q would take all public hosts below it off the proxy: write their names, or have it listed in the EgressTenant's spec.noProxy", entry)))
		default:
			entries = append(entries, entry)
		}
	}
	return entries, errs
}

// splitNames reads a comma-separated list of container names.
func splitNames(text string) []string {
	if text == "" {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}
