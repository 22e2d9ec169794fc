// Package progress reports on a terminal or in a log the steps of a program and
// their duration.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// heartbeat is the interval at which a long step reports that it is still
// running: short enough for the watchdogs of CI systems, which end jobs that
// are silent for minutes.
const heartbeat = 30 * time.Second

// Log writes one line per event, each with the time since New. Several
// goroutines may use it at the same time.
type Log struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

// New returns a log that counts from now.
func New(w io.Writer) *Log {
	return &Log{w: w, start: time.Now()}
}

// Printf writes one line.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%7.1fs  %s\n", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}

// Step runs fn and writes a line when it begins, every 30 s, and when it ends.
// The returned error is fn's, with the step's name before it.
func (l *Log) Step(name string, fn func() error) error {
	l.Printf("%s ...", name)
	start := time.Now()
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				l.Printf("%s: still running after %s", name, time.Since(start).Round(time.Second))
			}
		}
	})
	err := fn()
	close(done)
	wait.Wait()
	took := time.Since(start).Seconds()
	if err != nil {
		l.Printf("%s: failed after %.1fs", name, took)
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Printf("%s: done in %.1fs", name, took)
	return nil
}
