package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"egress.scw/webhook/api/names"
)

// The times of the Lease are those of Kubernetes' own controllers.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// ErrLeaseLost is the result of Lead if the Lease could not be renewed.
var ErrLeaseLost = errors.New("the Lease " + names.WatchLease + " could not be renewed, so that another watcher may begin")

// Lead waits for the Lease and calls work, whose context ends when the Lease is lost or
// the context of Lead ends. The Lease is given back after work has returned, unless another
// process has it by then. A process that starts again with the same identity has it at once.
func Lead(ctx context.Context, leases coordinationv1.LeasesGetter, namespace, identity string, work func(context.Context)) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: names.WatchLease, Namespace: namespace},
		Client:     leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	// The election does not give the Lease back itself: it would do so before it ends the
	// context of work, which then would go on while an API server does not answer.
	//
	// The election outlives ctx: it ends when work has ended, and another watcher cannot
	// begin before.
	election, resign := context.WithCancel(context.WithoutCancel(ctx))
	defer resign()
	started := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Name: names.WatchLease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) { started <- held },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	var electing sync.WaitGroup
	electing.Go(func() { elector.Run(election) })
	select {
	case <-ctx.Done():
	case held := <-started:
		working, stop := context.WithCancel(held)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		work(working) //nolint:contextcheck // the context of the Lease, which ends with ours, too
	}
	resign()
	electing.Wait()
	giveBack(context.WithoutCancel(ctx), lock)
	if ctx.Err() == nil {
		return ErrLeaseLost
	}
	return nil
}

// giveBack lets another watcher have the Lease at once. Its failure costs leaseDuration.
func giveBack(ctx context.Context, lock *resourcelock.LeaseLock) {
	ctx, cancel := context.WithTimeout(ctx, renewDeadline)
	defer cancel()
	record, _, err := lock.Get(ctx)
	if err != nil || record.HolderIdentity != lock.Identity() {
		return
	}
	record.HolderIdentity, record.LeaseDurationSeconds, record.RenewTime = "", 1, metav1.Now()
	_ = lock.Update(ctx, *record)
}
