package policy

// Mode is the treatment of requests that a tenant's allow list does not cover.
type Mode string

const (
	// ModeEnforce denies them.
	ModeEnforce Mode = "Enforce"
	// ModeReport lets them pass, and logs that ModeEnforce would have denied them.
	ModeReport Mode = "Report"
	// ModeOpen has no list of domains: every public host is allowed.
	ModeOpen Mode = "Open"
)
