package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// Configuration is what all pods of one namespace are given, before their own
// annotations are read.
type Configuration struct {
	tenant        string
	tenantEntries []v1alpha1.NoProxyEntry
	noProxy       noProxyList
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

// status is the JSON of the status annotation.
type status struct {
	Tenant  string `json:"tenant"`
	Hash    string `json:"hash"`
	Version string `json:"version"`
}

// Configure computes what the pods of a namespace have in common. It serves as
// long as the tenant's spec stays the same. The error is a *Refusal, for a
// tenant that is not valid.
func Configure(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string) (*Configuration, error) {
	if errs := tenant.Validate(); len(errs) > 0 {
		return nil, &Refusal{ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: %s", tenant.Name, errs.ToAggregate())}
	}
	list := cluster.forNamespace(namespace)
	c := &Configuration{tenant: tenant.Name, noProxy: list, clusterBytes: list.bytes}
	if isPublicSuffix(namespace) {
		c.injection.Warnings = []string{fmt.Sprintf(
			"the namespace is called like the public domain .%[1]s, so NO_PROXY leaves it out: reach its Services as NAME.%[1]s.svc, not NAME.%[1]s", namespace)}
	}
	for _, text := range tenant.Spec.NoProxy {
		entry, err := v1alpha1.ParseNoProxy(text)
		if err != nil {
			return nil, &Refusal{ReasonInvalidTenant, fmt.Sprintf("EgressTenant %s is not valid: spec.noProxy: %q %v", tenant.Name, text, err)}
		}
		c.tenantEntries = append(c.tenantEntries, entry)
		c.noProxy.addEntry(entry)
	}
	proxyURL, noProxy := cluster.ProxyURL(tenant), strings.Join(c.noProxy.entries, ",")
	c.injection.ProxyURL = proxyURL
	c.injection.httpProxy = newPair("HTTP_PROXY", "http_proxy", proxyURL)
	c.injection.httpsProxy = newPair("HTTPS_PROXY", "https_proxy", proxyURL)
	c.injection.setNoProxy(c.noProxy.entries, noProxy)
	c.injection.Status = encodeStatus(status{Tenant: tenant.Name, Hash: hash(proxyURL, noProxy), Version: cluster.version})
	return c, nil
}

// hash identifies what was injected, the pod's own entries aside: the pods of
// a namespace whose hashes differ were made under different configurations.
// 64 bits are plenty, as nobody gains by making two collide.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func encodeStatus(s status) string {
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
	injection.Skip = splitNames(annotations[v1alpha1.AnnotationSkipContainers])
	list := configuration.noProxy
	if text := annotations[v1alpha1.AnnotationNoProxy]; text != "" {
		entries, errs := parsePodEntries(text, configuration.tenantEntries)
		if len(errs) > 0 {
			return nil, &Refusal{ReasonInvalidAnnotation, errs.ToAggregate().Error()}
		}
		// Another pod adds to the same list at the same time.
		list.entries = slices.Clip(list.entries)
		for _, entry := range entries {
			list.addEntry(entry)
		}
		injection.setNoProxy(list.entries, strings.Join(list.entries, ","))
	}
	if list.bytes > maxNoProxyBytes {
		return nil, &Refusal{ReasonNoProxyTooLong, configuration.tooLong(list.bytes)}
	}
	return &injection, nil
}

// tooLong says whose entries take the space.
func (c *Configuration) tooLong(total int) string {
	return fmt.Sprintf("NO_PROXY would have %d bytes, of %d at most: %d are the cluster's and the namespace's, "+
		"%d those of spec.noProxy of EgressTenant %s, %d those of %s: shorten the latter two",
		total, maxNoProxyBytes, c.clusterBytes,
		c.noProxy.bytes-c.clusterBytes, c.tenant, total-c.noProxy.bytes, noProxyAnnotation())
}

func noProxyAnnotation() *field.Path {
	return field.NewPath("metadata", "annotations").Key(v1alpha1.AnnotationNoProxy)
}

// maxPodEntries is as many as a tenant may have.
const maxPodEntries = 64

// parsePodEntries reads the annotation that adds to NO_PROXY. Whoever writes
// pods is not trusted to take whole public domains off the proxy by a slip;
// the tenant's own list is.
func parsePodEntries(text string, tenant []v1alpha1.NoProxyEntry) ([]v1alpha1.NoProxyEntry, field.ErrorList) {
	path := noProxyAnnotation()
	if len(text) > maxNoProxyBytes {
		return nil, field.ErrorList{field.TooLong(path, "", maxNoProxyBytes)}
	}
	texts := strings.Split(text, ",")
	if len(texts) > maxPodEntries {
		return nil, field.ErrorList{field.TooMany(path, len(texts), maxPodEntries)}
	}
	var errs field.ErrorList
	entries := make([]v1alpha1.NoProxyEntry, 0, len(texts))
	for i, text := range texts {
		entry, err := v1alpha1.ParseNoProxy(strings.Trim(text, " \t"))
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		case coversPublicHosts(entry) && !slices.Contains(tenant, entry):
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
