package scwfake

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// nodeEnd matches the end of the name of a node.
var nodeEnd = regexp.MustCompile(`-[0-9a-f]{6}$`)

// Summary returns an inventory without the values that differ from run to run: IDs,
// addresses, the ends of the names of nodes, and the tags with a cluster's ID. It has
// a line for each resource, sorted. Two projects with the same lines have the same
// number of resources of each kind, name, status and place.
func Summary(items []Item) []string {
	lines := make([]string, 0, len(items))
	for _, item := range items {
		tags := item.Tags
		if slices.ContainsFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, "kapsule=") }) {
			tags = []string{"kapsule"}
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %q in %s", item.Kind, nodeEnd.ReplaceAllString(item.Name, ""), item.Status, tags, item.Place))
	}
	slices.Sort(lines)
	return lines
}
