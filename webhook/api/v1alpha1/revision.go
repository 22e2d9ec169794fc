package v1alpha1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Revision identifies the tenant's part of the proxy's configuration: a hash of 16
// hexadecimal digits, which changes if and only if this part changes. bootstrap
// writes it into squid.conf, and Squid returns it on the tenant's port
// (names.HeaderRevision), which shows whether Squid serves the configuration that
// it was given. The tenant must be valid; otherwise the result is undefined.
//
// The hash covers the whole tenant except the fields that the proxy does not use,
// rather than a list of fields that it uses: a new field counts unless it is
// excluded here.
func (t Tenant) Revision() string {
	// Destinations without the proxy, and the tenant's pods.
	t.NoProxy, t.Runtimes, t.ClusterAccess = nil, nil, nil
	t.Sidecar, t.DNS = nil, ""
	t.Ingress, t.IngressFrom, t.NodePool = "", nil, nil
	t.Path = cmp.Or(t.Path, PathProxy)
	t.Allow = allowSpecOf(t.AllowList())
	if t.Proxy != nil {
		proxy := *t.Proxy
		proxy.EgressIP = cmp.Or(proxy.EgressIP, EgressIPShared)
		t.Proxy = &proxy
	}
	// Fields are encoded in the order of their declaration. Any fixed order would
	// do: a test pins the result. Strings and numbers can always be encoded.
	canonical, _ := json.Marshal(t)
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:revisionBytes])
}

// revisionBytes is small, because collisions are not an attack: the platform team
// writes all tenants.
const revisionBytes = 8
