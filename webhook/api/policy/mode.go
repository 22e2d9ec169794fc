package policy

// Mode says what becomes of requests that a tenant's allow list does not
// cover.
type Mode string

const (
	// ModeEnforce denies them.
	ModeEnforce Mode = "Enforce"
	// ModeReport lets them pass, and writes into the audit log that they would
	// have been denied.
	ModeReport Mode = "Report"
	// ModeOpen has no list of names: every public host is allowed.
	ModeOpen Mode = "Open"
)
