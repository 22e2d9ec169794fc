package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

func TestDrainerDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drain := newDrainer(5 * time.Second)
		type key struct{}
		stopped, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		running, cancel := drain.delay(stopped)
		defer cancel()
		if running.Value(key{}) != "kept" {
			t.Error("the delayed context lost its values")
		}

		time.Sleep(time.Hour)
		if running.Err() != nil || drain.check(nil) != nil {
			t.Fatalf("stopping before the signal: %v, %v", running.Err(), drain.check(nil))
		}
		stop()
		time.Sleep(4 * time.Second)
		if running.Err() != nil {
			t.Error("stopped before the end of the period")
		}
		if drain.check(nil) == nil {
			t.Error("still ready after the signal")
		}
		time.Sleep(2 * time.Second)
		if running.Err() == nil {
			t.Error("still running after the end of the period")
		}
	})
}

func TestRunUntilDone(t *testing.T) {
	t.Parallel()
	failure := errors.New("leader election lost")
	for name, test := range map[string]struct {
		start func(context.Context) error
		want  error // nil for any, if it must fail
		fails bool
		takes time.Duration // the context ends after a minute
	}{
		"fails at once":         {func(context.Context) error { return failure }, failure, true, 0},
		"finishes when stopped": {func(ctx context.Context) error { <-ctx.Done(); return nil }, nil, false, time.Minute},
		"needs some time":       {func(ctx context.Context) error { <-ctx.Done(); time.Sleep(shutdownTimeout); return failure }, failure, true, time.Minute + shutdownTimeout},
		"does not stop in time": {func(context.Context) error { time.Sleep(time.Hour); return nil }, nil, true, time.Minute + shutdownTimeout + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begin := time.Now()
				err := runUntilDone(ctx, manager.RunnableFunc(test.start))
				if (err != nil) != test.fails || (test.want != nil && !errors.Is(err, test.want)) {
					t.Errorf("error is %v, want %v", err, test.want)
				}
				if took := time.Since(begin); took != test.takes {
					t.Errorf("took %s, want %s", took, test.takes)
				}
				time.Sleep(time.Hour) // until the goroutine that did not stop in time has ended
			})
		})
	}
}

// TestDrainerClosesConnections: while draining, each connection is closed with
// its response, so that clients do not send requests on a closing connection.
func TestDrainerClosesConnections(t *testing.T) {
	t.Parallel()
	drain := newDrainer(time.Minute)
	server := httptest.NewServer(drain.handler(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		writer.WriteHeader(http.StatusNoContent)
	})))
	defer server.Close()
	closed := func() bool {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Errorf("status %s", response.Status)
		}
		return response.Close
	}
	if closed() {
		t.Error("a connection is closed before the process stops")
	}
	drain.draining.Store(true)
	if !closed() {
		t.Error("a connection stays open while draining")
	}
}

// TestDrainerLetsRequestsFinish: the server cancels the contexts of its requests
// when it stops. A request's own calls of the API server must not be cancelled.
func TestDrainerLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	for _, draining := range []bool{false, true} {
		drain := newDrainer(time.Minute)
		drain.draining.Store(draining)
		var during error
		var bounded bool
		ctx, cancel := context.WithCancel(t.Context())
		handler := drain.handler(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
			cancel()
			during = request.Context().Err()
			_, bounded = request.Context().Deadline()
		}))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/", http.NoBody))
		if draining && (during != nil || !bounded) {
			t.Errorf("draining: the request's context is %v, with a deadline: %t", during, bounded)
		}
		if !draining && during == nil {
			t.Error("a request continues after its client has disconnected")
		}
	}
}
