#!/bin/bash
# controller-runtime-requeue-after.sh: RequeueAfter meets an event that comes first, in
# the two queues of a controller.
#
# Version: sigs.k8s.io/controller-runtime v0.25.2, with k8s.io/client-go v0.37.0.
#
# Expected: a reconciler that returns RequeueAfter is called again after that time. Events
# of the object in the meantime add calls and take none away.
# Happens: that is true of client-go's queue, which keeps times beside the queue. In
# controller-runtime's priority queue, the default of its controllers, an object has one
# entry. An event moves the entry that waits to the front, and its time is gone. If
# the call for the event returns an empty Result, the later call never comes. Of
# a first call with RequeueAfter and one event, client-go's queue makes three calls,
# and the priority queue two. UsePriorityQueue: false brings the third back.
# Matters: a reconciler that returns RequeueAfter only when it has set something in motion
# (a renewal, an expiry, a retry of something remote), and an empty Result when it
# sees nothing to do, loses its timer with the upgrade of a library. It does so for
# the objects alone that have an event at the wrong time, and the resync (ten hours by
# default) covers it up. With the priority queue each call has to return the time that
# remains.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const later = 5 * time.Second

func main() {
	log.SetLogger(logr.Discard())
	priority, client := calls("priority", true), calls("client-go", false)
	fmt.Printf("priority queue: %d calls\n", priority)
	fmt.Printf("client-go's queue: %d calls\n", client)
	if priority != 2 || client != 3 {
		fmt.Fprintln(os.Stderr, "the behaviour has changed")
		os.Exit(1)
	}
}

// calls runs a controller and counts the calls of its reconciler, until long after
// the later time.
func calls(name string, usePriorityQueue bool) int32 {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var count atomic.Int32
	first := make(chan struct{})
	reconciler := reconcile.TypedFunc[string](func(context.Context, string) (reconcile.Result, error) {
		if count.Add(1) == 1 {
			close(first)
			return reconcile.Result{RequeueAfter: later}, nil
		}
		return reconcile.Result{}, nil
	})
	running, err := controller.NewTypedUnmanaged(name, controller.TypedOptions[string]{
		Reconciler: reconciler, UsePriorityQueue: &usePriorityQueue,
	})
	check(err)
	// The object's creation, and an event that comes before the later time.
	events := func(_ context.Context, queue workqueue.TypedRateLimitingInterface[string]) error {
		queue.Add("object")
		go func() {
			<-first
			time.Sleep(later / 5)
			queue.Add("object")
		}()
		return nil
	}
	check(running.Watch(source.TypedFunc[string](events)))
	go func() { check(running.Start(ctx)) }()
	<-first
	time.Sleep(4 * later)
	return count.Load()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get sigs.k8s.io/controller-runtime/pkg/controller@v0.25.2
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
./run
