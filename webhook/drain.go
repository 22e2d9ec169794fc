package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// drainPeriod is how long the process goes on after it was told to stop: as
// long as an admission request may last (the chart's timeoutSeconds), so that
// each one that was under way ends by itself.
const drainPeriod = 5 * time.Second

// shutdownTimeout is how long controllers and servers may take after that to
// finish what they have begun.
const shutdownTimeout = 10 * time.Second

// drainer stops the process without losing a request.
//
// The API server keeps connections for its next request. A server that closes
// an idle one may cross with that request on the way, which is then lost, as
// nobody sends a POST twice. So the process, once told to stop, serves on for a
// while and closes each connection with the answer on it. The API server opens
// its next one to another replica, and what is left at the end has been idle
// all the while.
type drainer struct {
	period   time.Duration
	draining atomic.Bool
}

func newDrainer(period time.Duration) *drainer {
	return &drainer{period: period}
}

// delay returns a context that ends one period after the given one.
func (d *drainer) delay(ctx context.Context) (context.Context, context.CancelFunc) {
	delayed, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		d.draining.Store(true)
		time.AfterFunc(d.period, cancel)
	})
	return delayed, cancel
}

// handler serves requests with next. Those that come while draining are
// answered with "Connection: close", and may finish although the server stops,
// which cancels the contexts of its requests.
func (d *drainer) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if !d.draining.Load() {
			next.ServeHTTP(writer, request)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), d.period)
		defer cancel()
		writer.Header().Set("Connection", "close")
		next.ServeHTTP(writer, request.WithContext(ctx))
	})
}

// check is a readiness check, which fails from the moment the process was told
// to stop.
func (d *drainer) check(*http.Request) error {
	if d.draining.Load() {
		return errors.New("the process is stopping")
	}
	return nil
}

// runUntilDone runs until the context has ended and everything is finished. It
// does not wait for longer than that may take: controller-runtime's manager,
// told to stop before its caches were synced, never returns.
func runUntilDone(ctx context.Context, runnable manager.Runnable) error {
	finished := make(chan error, 1)
	go func() { finished <- runnable.Start(ctx) }()
	select {
	case err := <-finished:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-finished:
		return err
	case <-time.After(shutdownTimeout + time.Second):
		return fmt.Errorf("still not finished %s after being told to", shutdownTimeout+time.Second)
	}
}
