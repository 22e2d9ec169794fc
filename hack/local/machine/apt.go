package machine

import "context"

// AptSources returns the sources of the proxies' Debian release that this machine's
// apt has, as lines of sources.list.
func AptSources(ctx context.Context) ([]string, error) { return aptSources(ctx) }
