package names

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// servicePrefix begins the name of a tenant's Service. It is a letter, because the name
// of a Service must not begin with a digit, as that of a tenant may.
const servicePrefix = "tenant-"

// maxServiceName is the length of the longest name of a Service (RFC 1035).
const maxServiceName = 63

// TenantService returns the name of the Service of a tenant, and of its EndpointSlice.
// That of a tenant with a long name ends with a hash of it.
func TenantService(tenant string) string {
	if name := servicePrefix + tenant; len(name) <= maxServiceName {
		return name
	}
	sum := sha256.Sum256([]byte(tenant))
	suffix := "-" + hex.EncodeToString(sum[:4])
	return servicePrefix + strings.TrimRight(tenant[:maxServiceName-len(servicePrefix)-len(suffix)], "-") + suffix
}
