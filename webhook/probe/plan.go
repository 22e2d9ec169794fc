// Package probe tries connections from a pod, for kubectl egress verify. The webhook's
// image contains it, so that a cluster without an own registry needs no other image.
package probe

import "time"

// PlanVariable is the environment variable of the pod with its Plan in JSON.
const PlanVariable = "EGRESS_PROBE_PLAN"

// Kind is the kind of an attempt.
type Kind string

const (
	// Dial opens a TCP connection to Address.
	Dial Kind = "Dial"
	// Get requests URL: by Proxy or, without one, directly.
	Get Kind = "Get"
	// Resolve asks Address for the name, by UDP. An empty address is the pod's own
	// resolver.
	Resolve Kind = "Resolve"
)

// UnknownKind is the beginning of the error of an attempt that was not made, because the
// image does not know its kind.
const UnknownKind = "unknown kind"

// Attempt is one connection to try.
type Attempt struct {
	// Name identifies the attempt in the results.
	Name    string `json:"name"`
	Kind    Kind   `json:"kind"`
	Address string `json:"address,omitempty"`
	URL     string `json:"url,omitempty"`
	Proxy   string `json:"proxy,omitempty"`
	Host    string `json:"host,omitempty"` // of Resolve
	// Open is whether the attempt should succeed. Such attempts come first, one after
	// the other, and are repeated: a network may need some time to open the paths of a
	// new pod. The others come afterwards, all at once, each once.
	Open bool `json:"open"`
}

// Plan is what a pod tries.
type Plan struct {
	Attempts []Attempt `json:"attempts"`
	// Repeat bounds the time, from the start, in which attempts that should succeed are
	// repeated. Each is made at least once.
	Repeat time.Duration `json:"repeat"`
	// Timeout bounds one attempt.
	Timeout time.Duration `json:"timeout"`
}

// Result is the outcome of an attempt.
type Result struct {
	Name string `json:"name"`
	// Succeeded is whether the other end answered. An answer of HTTP is one, whatever its
	// status, and that of a proxy which refuses a tunnel too.
	Succeeded bool   `json:"succeeded"`
	Error     string `json:"error,omitempty"`
	// Status and Header are those of an answer of HTTP, and Body its beginning.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	// Refused is whether the answer is the proxy's refusal of a tunnel, and not that of the
	// other end of the tunnel.
	Refused bool `json:"refused,omitempty"`
	// Addresses are those that a name resolves to.
	Addresses []string `json:"addresses,omitempty"`
}

// Report is what a pod prints, as JSON in one line.
type Report struct {
	// Environment are the proxy variables of the process, by name.
	Environment map[string]string `json:"environment"`
	Results     []Result          `json:"results"`
}
