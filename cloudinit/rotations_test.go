package cloudinit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"egress.scw/cloudinit/squid"
	"egress.scw/webhook/api/policy"
)

// rotationsVariable is an environment variable: the number of rotations in
// TestRotationsLoseNothing. The default is a small number; 200 rotations take some
// minutes.
const rotationsVariable = "EGRESS_TEST_ROTATIONS"

// TestRotationsLoseNothing: a real rsyslog and a real mtail read the audit log
// while it is written to and rotated, with the machine's own script. The server
// receives every line once and in order, and the metrics count every line once.
func TestRotationsLoseNothing(t *testing.T) {
	count := 5
	if value := os.Getenv(rotationsVariable); value != "" {
		var err error
		if count, err = strconv.Atoi(value); err != nil || count < 1 {
			t.Fatalf("%s: %q is not a number of rotations", rotationsVariable, value)
		}
	}
	mtail := mtailBinary(t)
	ca := newAuthority(t)
	address := freeAddress(t)
	server := startSyslogServer(t, address, ca.issue(t, syslogHost))
	log := startRsyslog(t, ca, address)
	metrics := startMtail(t, mtail, log.root)
	writer := startWriter(t, log)

	for i := range count {
		log.root.run("egress-rotation", "before")
		log.rename(t, fmt.Sprintf("%s-20260101-%d", AuditLog, i+1))
		log.root.run("egress-rotation", "after")
		// On the machine, rotations are at least a minute apart: by then, the
		// readers have read the old file.
		written := int(writer.written.Load())
		waitFor(t, fmt.Sprintf("%d lines after rotation %d", written, i+1), func() error {
			received, counted := len(server.messages()), int(metrics.read(t)[requestsOfWriter])
			if received < written || counted < written {
				return fmt.Errorf("the server has received %d lines, the metrics count %d", received, counted)
			}
			return nil
		})
	}
	want := writer.stop()
	waitFor(t, "all lines", func() error { return differences(want, server.messages()) })
	wantMetrics := map[string]float64{
		requestsOfWriter: float64(len(want)),
		`egress_proxy_received_from_clients_bytes_total{tenant="client-a"}`: float64(len(want)*(len(want)-1)) / 2,
		"egress_proxy_audit_unreadable_lines_total":                         0,
	}
	waitFor(t, "metrics of all lines", func() error {
		got := metrics.read(t)
		for name, value := range wantMetrics {
			if got[name] != value {
				return fmt.Errorf("%s is %g, want %g", name, got[name], value)
			}
		}
		return nil
	})
	t.Logf("%d rotations, %d lines: every line received once and in order, and counted once", count, len(want))
}

// differences compares the received lines with the written lines, by their
// numbers.
func differences(want, got []string) error {
	if slices.Equal(want, got) {
		return nil
	}
	times := map[string]int{}
	for _, line := range got {
		times[line]++
	}
	var faults []string
	for first := 0; first < len(want); {
		last := first
		for last+1 < len(want) && times[want[last+1]] == times[want[first]] {
			last++
		}
		if times[want[first]] != 1 {
			faults = append(faults, fmt.Sprintf("lines %d to %d were received %d times", first, last, times[want[first]]))
		}
		first = last + 1
	}
	return fmt.Errorf("%d lines were received of %d, or not in order: %s", len(got), len(want), strings.Join(faults, "; "))
}

const requestsOfWriter = `egress_proxy_requests_total{tenant="client-a",verdict="allowed"}`

// auditWriter writes numbered lines to the audit log until it is stopped. After
// the signal that Squid gets, it opens the new file with a delay.
type auditWriter struct {
	written atomic.Int64
	lines   chan []string
	done    chan struct{}
}

func startWriter(t *testing.T, log *auditFile) *auditWriter {
	t.Helper()
	writer := &auditWriter{lines: make(chan []string, 1), done: make(chan struct{})}
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGUSR1)
	t.Cleanup(func() { signal.Stop(reopen) })
	log.root.write(pidFile, strconv.Itoa(os.Getpid())+"\n")
	go func() {
		var lines []string
		defer func() { writer.lines <- lines }()
		for late := 0; ; {
			line := auditLine(t, len(lines))
			if _, err := log.file.WriteString(line + "\n"); err != nil {
				t.Error(err)
				return
			}
			lines = append(lines, line)
			writer.written.Store(int64(len(lines)))
			select {
			case <-reopen:
				late = 20
			case <-writer.done:
				return
			case <-time.After(time.Millisecond):
			}
			// These lines go to the old file, although the new file exists.
			if late--; late == 0 {
				log.file.Close()
				log.open(t)
			}
		}
	}()
	return writer
}

// stop returns all lines that have been written.
func (w *auditWriter) stop() []string {
	close(w.done)
	return <-w.lines
}

// auditLine is a line of the audit log. Its number of received bytes is number.
func auditLine(t *testing.T, number int) string {
	t.Helper()
	line, err := json.Marshal(squid.AuditRecord{
		Time: "2026-01-02T03:04:05.678Z", Tenant: "client-a", Port: "3129", Client: "172.16.28.16", Method: "CONNECT",
		Host: "a.example", HostPort: "443", Status: 200, Verdict: policy.VerdictAllowed, Rule: "-", SNI: "-", Result: "TCP_TUNNEL/HIER_DIRECT",
		Error: "-", Server: "192.0.2.10", Egress: "203.0.113.50", BytesReceived: int64(number),
	})
	if err != nil {
		t.Error(err)
	}
	return string(line)
}

// exporter is a program that serves metrics.
type exporter struct{ url string }

// startMtail runs mtail on the audit log as the machine's unit does, until the
// test ends.
func startMtail(t *testing.T, binary string, root *machineRoot) *exporter {
	t.Helper()
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	command := exec.CommandContext(t.Context(), binary, "--progs", root.path("/etc/mtail"), "--logtostderr", "--address", host, "--port", port,
		"--emit_prog_label=false", "--logs", root.path(AuditLog))
	var messages strings.Builder
	command.Stderr = &messages
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	root.unitRuns("mtail", command.Process.Pid)
	t.Cleanup(func() {
		_ = command.Wait() // killed
		if t.Failed() {
			t.Logf("messages of mtail:\n%.20000s", messages.String())
		}
	})
	result := &exporter{"http://" + address + "/metrics"}
	waitFor(t, "mtail", func() error {
		if result.read(t) == nil {
			return errors.New("it does not respond")
		}
		return nil
	})
	return result
}

// read returns the metrics, and nil if the program does not respond.
func (e *exporter) read(t *testing.T) map[string]float64 {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	result := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, "#") {
			continue
		}
		if value == "" {
			name, value, _ = strings.Cut(name, " ")
		} else {
			name += "}"
		}
		if result[name], err = strconv.ParseFloat(value, 64); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return result
}

// waitFor returns once a condition holds. The time limit is for a busy machine: it
// is reached only if there is an error.
func waitFor(t *testing.T, what string, condition func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = condition(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
