package squid

import (
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// while it rereads its configuration, with 10,000 domains.
func BenchmarkReconfigure(b *testing.B) {
	const rounds = 5
	site := startSite(b)
	squid := startOurs(b, site, everyDomain)
	for b.Loop() {
		var gaps []float64
		var refused int
		for range rounds {
			gap, count := squid.reconfigure(b)
			gaps, refused = append(gaps, gap.Seconds()*1000), refused+count
		}
		b.ReportMetric(median(gaps), "ms-median")
		b.ReportMetric(slices.Max(gaps), "ms-longest")
		b.ReportMetric(float64(refused)/rounds, "refused")
	}
	b.ReportMetric(0, "ns/op") // ns/op would mostly measure waiting
}

// reconfigure has Squid reread its file while clients open one connection after
// the other. It returns the time from the first unanswered connection to the
// last, and the number of unanswered connections.
func (s benchSquid) reconfigure(b *testing.B) (time.Duration, int) {
	b.Helper()
	const reopened = "Accepting "
	before := s.messages(b, reopened)
	done, stop := context.WithCancel(b.Context())
	defer stop()
	var unanswered [benchClients][]time.Time // start and end of each
	var answered [benchClients]int
	var clients sync.WaitGroup
	for client := range benchClients {
		clients.Go(func() {
			for done.Err() == nil {
				began := time.Now()
				switch {
				case s.answers(done, client):
					answered[client]++
				case done.Err() == nil: // and not just cancelled by stop
					unanswered[client] = append(unanswered[client], began, time.Now())
				}
			}
		})
	}
	command := exec.CommandContext(b.Context(), s.command[0], append(s.command[1:], "-k", "reconfigure")...)
	if output, err := command.CombinedOutput(); err != nil {
		b.Errorf("squid -k reconfigure: %v\n%s", err, output)
	}
	// Every port is reopened: the tenants' ports and the manager's.
	for deadline := time.Now().Add(time.Minute); s.messages(b, reopened) < before+len(s.tenants)+1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Error("squid does not open its ports again")
			break
		}
	}
	stop()
	clients.Wait()
	if slices.Contains(answered[:], 0) {
		b.Errorf("answered: %v", answered)
	}
	all := slices.Concat(unanswered[:]...)
	if len(all) == 0 {
		return 0, 0
	}
	return slices.MaxFunc(all, time.Time.Compare).Sub(slices.MinFunc(all, time.Time.Compare)), len(all) / 2
}

// answers reports whether Squid answers on a new connection, with any answer.
func (s benchSquid) answers(ctx context.Context, tenant int) bool {
	connection, err := s.connect(ctx, tenant)
	if err != nil {
		return false
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, "GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(connection)
	return strings.HasPrefix(string(answer), "HTTP/1.1 403 ")
}

// messages counts Squid's own messages that contain these words.
func (s benchSquid) messages(b *testing.B, words string) int {
	b.Helper()
	text, err := os.ReadFile(s.proxy.CacheLog)
	if err != nil {
		b.Fatal(err)
	}
	return strings.Count(string(text), words)
}
