package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// requireAll returns an error that names the options that are not set. Without it,
// the first request that needs a missing dependency would panic.
func requireAll(isSet map[string]bool) error {
	missing := slices.DeleteFunc(slices.Sorted(maps.Keys(isSet)), func(name string) bool { return isSet[name] })
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("options that are required are not set: %s", strings.Join(missing, ", "))
}
