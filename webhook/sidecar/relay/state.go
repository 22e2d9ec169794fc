package relay

import (
	"encoding/json"
	"net/http"
)

// InUse is the state of a machine, and of the capture, that has no problem.
const InUse = "in use"

// stateFile is the answer to a request of the sidecar's own state.
type stateFile struct {
	// Problem is that of the files of the Secret, empty if they are in use.
	Problem string `json:"problem,omitempty"`
	// Machines are the machines' addresses, with their problems.
	Machines map[string]string `json:"machines"`
	// Capture is the state of the capture of names, empty without capture.
	Capture string `json:"capture,omitempty"`
}

func (r *Relay) writeState(w http.ResponseWriter) {
	states, err := r.State()
	file := stateFile{Machines: map[string]string{}}
	if err != nil {
		file.Problem = oneLine(err)
	}
	for _, machine := range states {
		problem := InUse
		if machine.Problem != "" {
			problem = machine.Problem
		}
		file.Machines[machine.Address] = problem
	}
	if capture := r.capture.Load(); capture != nil {
		file.Capture = *capture
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(file) // the client may leave
}
