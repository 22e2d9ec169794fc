package main

// outcome is the meaning of a result for the protection of this pod.
type outcome string

const (
	// outcomeProtected is the expected result for the tenant's path: the request
	// went through the proxy or could not leave directly; with path Gateway it left
	// directly.
	outcomeProtected outcome = "protected"

	// outcomeUnprotected means that the internet was reached without the proxy, or
	// that the proxy forwarded a request that it must refuse.
	outcomeUnprotected outcome = "unprotected"

	// outcomeFailed means that the expected answer was not received.
	outcomeFailed outcome = "failed"

	// outcomeInconclusive means that the check proves nothing either way.
	outcomeInconclusive outcome = "inconclusive"
)

// direct is the value of result.Via for a request that uses no proxy.
const direct = "direct"

// result is the result of one check.
type result struct {
	Check   string  `json:"check"`
	Run     uint64  `json:"run"` // counts the runs of all checks since the start
	OK      bool    `json:"ok"`  // the outcome is outcomeProtected
	Outcome outcome `json:"outcome"`
	Summary string  `json:"summary"` // one sentence for people
	URL     string  `json:"url"`

	// Via is the proxy for URL, without credentials, or "direct".
	Via string `json:"via"`

	// Status is the HTTP status of the answer, of the origin or the proxy; 0 if
	// none came.
	Status     int   `json:"status"`
	DurationMS int64 `json:"durationMs"`

	// Attempts is the number of requests that were sent, at most maxAttempts.
	Attempts int `json:"attempts"`

	// Address is the pod's address as seen from the internet, if the answer
	// contains it, and Network the network that the address belongs to.
	Address string `json:"address,omitempty"`
	Network string `json:"network,omitempty"`

	// Body is the beginning of the answer, at most maxBody bytes; Truncated
	// reports that the answer was longer.
	Body      string `json:"body,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`

	// Error is the network's error if no answer was received.
	Error string `json:"error,omitempty"`

	// Denial is set if the proxy refused the request.
	Denial *denial `json:"denial,omitempty"`
}

// conclude sets the meaning of the result.
func (r *result) conclude(o outcome, summary string) {
	r.Outcome, r.OK, r.Summary = o, o == outcomeProtected, summary
}
