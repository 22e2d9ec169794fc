package suggest

import (
	"maps"
	"slices"
	"strings"

	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/policy"
)

// fold replaces two or more names directly below the same parent by the entry that
// covers the parent and all names below it. It does not fold the results again. It
// never folds below a public suffix, private ones included (github.io,
// s3.amazonaws.com): below those, each name has another owner.
func fold(domains []policy.Domain) ([]policy.Domain, []Fold) {
	siblings := map[string][]string{}
	for _, domain := range domains {
		if _, parent, found := strings.Cut(domain.String(), "."); found && !slices.Contains(siblings[parent], domain.String()) {
			siblings[parent] = append(siblings[parent], domain.String())
		}
	}
	var folds []Fold
	folded := slices.Clone(domains)
	for _, parent := range slices.Sorted(maps.Keys(siblings)) {
		below, err := policy.ParseDomain("." + parent)
		if err != nil || len(siblings[parent]) < 2 || noproxy.IsPublicSuffix(parent) || !strings.Contains(parent, ".") {
			continue
		}
		folded = append(folded, below)
		folds = append(folds, Fold{below.String(), slices.Sorted(slices.Values(siblings[parent]))})
	}
	// MergeDomains removes the names that the new entries cover, and entries among them.
	merged := policy.MergeDomains(folded)
	return merged, slices.DeleteFunc(folds, func(f Fold) bool {
		return !slices.ContainsFunc(merged, func(d policy.Domain) bool { return d.String() == f.Domain })
	})
}
