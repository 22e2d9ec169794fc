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

func noProxyAnnotation() *field.Path {
	return field.NewPath("metadata", "annotations").Key(names.AnnotationNoProxy)
}

// maxPodEntries is the number of entries that the schema allows a tenant.
const maxPodEntries = 64

// parseNoProxyAnnotation reads the annotation that adds entries to NO_PROXY. It
// refuses entries that cover public domains, which would bypass the proxy for
// all their hosts by a slip of a pod's author, unless the tenant's own list
// contains them too.
func parseNoProxyAnnotation(text string, tenant []noproxy.Entry) ([]noproxy.Entry, field.ErrorList) {
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

// maxRuntimesBytes bounds the annotation that lists runtimes.
const maxRuntimesBytes = 256

// parseRuntimesAnnotation reads the annotation that lists runtimes. An empty one lists
// none.
func parseRuntimesAnnotation(text string) ([]v1alpha1.Runtime, field.ErrorList) {
	path := field.NewPath("metadata", "annotations").Key(names.AnnotationRuntimes)
	if len(text) > maxRuntimesBytes {
		return nil, field.ErrorList{field.TooLong(path, "", maxRuntimesBytes)}
	}
	var runtimes []v1alpha1.Runtime
	for _, name := range splitNames(text) {
		runtimes = append(runtimes, v1alpha1.Runtime(name))
	}
	errs := v1alpha1.ValidateRuntimes(runtimes, path)
	slices.Sort(runtimes)
	return runtimes, errs
}

// maxSkipBytes bounds the annotation that lists containers: with the longest names, it
// has room for as many as a pod may have.
const maxSkipBytes = 64 << 10

// parseSkipAnnotation reads the annotation that lists containers.
func parseSkipAnnotation(text string) ([]string, field.ErrorList) {
	if len(text) > maxSkipBytes {
		path := field.NewPath("metadata", "annotations").Key(names.AnnotationSkipContainers)
		return nil, field.ErrorList{field.TooLong(path, "", maxSkipBytes)}
	}
	return splitNames(text), nil
}

// splitNames reads a comma-separated list of names.
func splitNames(text string) []string {
	var list []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	return list
}
