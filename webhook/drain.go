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

// drainPeriod is the time for which the process serves requests after it was
// told to stop. It is as long as an admission request may last (timeoutSeconds
// in the chart), so that every accepted request can end by itself.
const drainPeriod = 5 * time.Second

// shutdownTimeout bounds the time after the drain period in which controllers
// and servers finish their work.
const shutdownTimeout = 10 * time.Second

// drainer stops the process without losing a request.
//
// The API server keeps connections open for its next request. If a server
// closes an idle connection while such a request is on its way, the request is
// lost, because a client does not retry a POST. So when the process is told to
// stop, it serves requests for a further period and closes each connection with
// the response on it. The API server opens its next connection to another
// replica. The connections that remain at the end have been idle for the whole
// period.
type drainer struct {
	period   time.Duration
	draining atomic.Bool
}

func newDrainer(period time.Duration) *drainer {
	return &drainer{period: period}
}

// delay returns a context that ends one period after the given context.
func (d *drainer) delay(ctx context.Context) (context.Context, context.CancelFunc) {
	delayed, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		d.draining.Store(true)
		time.AfterFunc(d.period, cancel)
	})
	return delayed, cancel
}

// handler serves requests with next. While draining, responses have the header
// "Connection: close". Requests that arrive then may finish although the server
// stops: a stopping server cancels the contexts of its requests.
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

// check is a readiness check. It fails once the process was told to stop.
func (d *drainer) check(*http.Request) error {
	if d.draining.Load() {
		return errors.New("the process is stopping")
	}
	return nil
}

// runUntilDone runs until the context has ended and the runnable has finished.
// It waits for a bounded time: controller-runtime's manager never returns if it
// is stopped before its caches are synced.
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
		return fmt.Errorf("still not finished %s after the end of the drain period", shutdownTimeout+time.Second)
	}
}
