package v1alpha1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Revision identifies what the proxy has to know of the tenant: 16
// hexadecimal digits, which differ as soon as the proxy has to be told
// something else, and only then. Whoever renders the proxy's configuration writes
// it there, and Squid tells it on the tenant's port, so that it shows whether it
// serves what it was given. Of a tenant that is not valid it means nothing.
//
// It hashes the whole tenant without what the proxy does not see, rather than
// a list of what it does: a new field counts unless it is left out here.
func (t Tenant) Revision() string {
	t.NoProxy = nil // what clients do not ask the proxy for
	t.Path = cmp.Or(t.Path, PathProxy)
	t.Allow = allowSpecOf(t.AllowList())
	t.Proxy.EgressIP = cmp.Or(t.Proxy.EgressIP, EgressIPShared)
	// Fields stand in the order of their declaration, which is as good as any:
	// a test pins the outcome. Text and numbers can always be encoded.
	canonical, _ := json.Marshal(t)
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:revisionBytes])
}

// revisionBytes are few, because nobody gains by making two tenants collide:
// the platform team writes them.
const revisionBytes = 8
