package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Injection is the change of a pod. It is shared and must not be changed.
type Injection struct {
	// ProxyURL is the value of HTTP_PROXY and HTTPS_PROXY.
	ProxyURL string
	// NoProxy are the entries of NO_PROXY.
	NoProxy []string
	// Status is the value of the pod's status annotation.
	Status string
	// Skip are the names of containers that are left as they are.
	Skip []string
	// Warnings are addressed to the author of the pod.
	Warnings []string

	nodePool                       *v1alpha1.NodePool
	httpProxy, httpsProxy, noProxy pair
	hash                           string // that of the status
	encodedStatus                  encodedStatus
}

func (i *Injection) setNoProxy(entries []string, joined string) {
	i.NoProxy = entries
	i.noProxy = newPair(envNoProxy, envNoProxyLower, joined)
}

// encodedStatus is the JSON of the values that contain the status.
type encodedStatus struct {
	value       string // of the annotation
	annotations string // of metadata.annotations with this annotation only
	metadata    string // of metadata with this annotation only
}

func (i *Injection) setStatus(status names.InjectionStatus) {
	text, err := json.Marshal(status)
	if err != nil {
		panic("encoding three strings cannot fail: " + err.Error())
	}
	i.Status, i.hash = string(text), status.Hash
	value := quote(i.Status)
	annotations := `{"` + names.AnnotationStatus + `":` + value + `}`
	i.encodedStatus = encodedStatus{value: value, annotations: annotations, metadata: `{"annotations":` + annotations + `}`}
}

// hash identifies the injected configuration, without the pod's own entries:
// pods of a namespace with different hashes were created under different
// configurations. 64 bits suffice, because a collision benefits no attacker.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
