package main

// outcome says what a result means for the protection of this pod.
type outcome string

const (
	// outcomeProtected is what a protected tenant should see: the request went
	// through the proxy, or could not leave directly.
	outcomeProtected outcome = "protected"

	// outcomeUnprotected means that the internet was reached without the proxy.
	outcomeUnprotected outcome = "unprotected"

	// outcomeFailed means that the expected answer did not come.
	outcomeFailed outcome = "failed"

	// outcomeInconclusive means that the check proves nothing either way.
	outcomeInconclusive outcome = "inconclusive"
)

// direct is the value of result.Via for a request that uses no proxy.
const direct = "direct"

// result is what a check found.
type result struct {
	Check   string  `json:"check"`
	OK      bool    `json:"ok"` // the outcome is outcomeProtected
	Outcome outcome `json:"outcome"`
	Summary string  `json:"summary"` // one sentence for people
	URL     string  `json:"url"`

	// Via is the proxy for URL, without credentials, or "direct".
	Via string `json:"via"`

	// Status is the HTTP status of the answer, of the origin or the proxy; 0 if
	// none came.
	Status     int   `json:"status"`
	DurationMS int64 `json:"durationMs"`

	// Address is the address that the internet saw, if the answer tells.
	Address string `json:"address,omitempty"`

	// Body is the beginning of the answer, at most maxBody bytes; Truncated
	// says that there was more.
	Body      string `json:"body,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`

	// Error is why no answer came, as the network reported it.
	Error string `json:"error,omitempty"`
}

// conclude sets what the result means.
func (r *result) conclude(o outcome, summary string) {
	r.Outcome, r.OK, r.Summary = o, o == outcomeProtected, summary
}
