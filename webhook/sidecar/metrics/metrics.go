// Package metrics counts what the sidecar does, and serves it in the text format of
// Prometheus. There are few of them: the sidecar does not link the client library.
package metrics

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"egress.scw/webhook/api/names"
)

// Verdict is the result of a request.
type Verdict int

// Verdicts, whose names are values of a label.
const (
	Passed Verdict = iota
	Denied
	Failed
)

var verdicts = [...]string{Passed: "passed", Denied: "denied", Failed: "failed"}

// Kind is a kind of request.
type Kind int

// Kinds, whose names are values of a label.
const (
	Tunnel Kind = iota
	HTTP
)

var kinds = [...]string{Tunnel: "tunnel", HTTP: "http"}

// Metrics are the counters of the process. The zero value counts from 0.
type Metrics struct {
	requests [len(kinds)][len(verdicts)]atomic.Int64
	// Tunnels is the number of open tunnels.
	Tunnels atomic.Int64
	// SentBytes and ReceivedBytes are the bytes of tunnels that have ended, from and to
	// the pod's programs.
	SentBytes, ReceivedBytes atomic.Int64
}

// Count counts a request.
func (m *Metrics) Count(kind Kind, verdict Verdict) { m.requests[kind][verdict].Add(1) }

// Machine is the state of a proxy machine.
type Machine struct {
	Address string
	Usable  bool
}

// Capture is the state of the capture of names.
type Capture struct {
	// Names is the number of names that have an address.
	Names int
	// Connections is the number of open captured connections.
	Connections int
}

// State is the state of the sidecar at a time.
type State struct {
	Version           string
	ConfigUsable      bool
	CertificateExpiry time.Time // zero, if there is no certificate
	Machines          []Machine
	Capture           *Capture // nil without capture
}

// Handler serves the metrics, with the state at that time.
func (m *Metrics) Handler(state func() State) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.write(w, state())
	})
}

func (m *Metrics) write(w io.Writer, state State) {
	family(w, names.MetricSidecarRequests, "counter", "Tunnels and plain HTTP requests.")
	for kind := range m.requests {
		counts := &m.requests[kind]
		for verdict := range counts {
			fmt.Fprintf(w, "%s{kind=%q,verdict=%q} %d\n", names.MetricSidecarRequests, kinds[kind], verdicts[verdict], counts[verdict].Load())
		}
	}
	single(w, names.MetricSidecarTunnels, "gauge", "Open tunnels.", m.Tunnels.Load())
	single(w, names.MetricSidecarSentBytes, "counter", "Bytes into tunnels that have ended.", m.SentBytes.Load())
	single(w, names.MetricSidecarReceivedBytes, "counter", "Bytes out of tunnels that have ended.", m.ReceivedBytes.Load())
	family(w, names.MetricSidecarMachineUsable, "gauge", "0 while a proxy machine is passed over.")
	for _, machine := range state.Machines {
		fmt.Fprintf(w, "%s{machine=%q} %d\n", names.MetricSidecarMachineUsable, machine.Address, number(machine.Usable))
	}
	single(w, names.MetricSidecarConfigUsable, "gauge", "1 if the files of the Secret are in use.", number(state.ConfigUsable))
	var expiry int64
	if !state.CertificateExpiry.IsZero() {
		expiry = state.CertificateExpiry.Unix()
	}
	single(w, names.MetricSidecarCertificateExpiry, "gauge", "Expiry of the tenant's certificate.", expiry)
	if state.Capture != nil {
		single(w, names.MetricSidecarCapturedNames, "gauge", "Captured names that have an address.", int64(state.Capture.Names))
		single(w, names.MetricSidecarCapturedConnections, "gauge", "Open captured connections.", int64(state.Capture.Connections))
	}
	family(w, names.MetricSidecarBuildInfo, "gauge", "Always 1.")
	fmt.Fprintf(w, "%s{version=%q,go_version=%q} 1\n", names.MetricSidecarBuildInfo, state.Version, runtime.Version())
}

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func single(w io.Writer, name, kind, help string, value int64) {
	family(w, name, kind, help)
	fmt.Fprintf(w, "%s %d\n", name, value)
}

func number(condition bool) int64 {
	if condition {
		return 1
	}
	return 0
}
