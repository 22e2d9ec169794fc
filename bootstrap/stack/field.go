package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Field is a property that a plan compares.
type Field struct {
	Name  string
	Value string
	// Fixed is the reason why the property cannot be changed in place. Empty: it
	// can.
	Fixed string
}

const (
	// Unknown is the value of a field that depends on a resource that does not
	// exist yet.
	Unknown = "(known after apply)"
	// Any is an observed value that equals every wanted value.
	Any = "(any)"
)

// idOf is the value of a field that refers to another resource.
func idOf(r *ResourceMeta) string {
	if !r.exists() {
		return Unknown
	}
	return r.ID
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func gigabytes(n int32) string { return strconv.Itoa(int(n)) + " GB" }

// joinStrings returns the values as one string, in an order that does not depend
// on the order of the values.
func joinStrings[S fmt.Stringer](values []S) string {
	texts := make([]string, 0, len(values))
	for _, value := range values {
		texts = append(texts, value.String())
	}
	return joinSorted(texts)
}

func joinLabels(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for key, value := range labels {
		texts = append(texts, key+"="+value)
	}
	return joinSorted(texts)
}

func joinSorted(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
