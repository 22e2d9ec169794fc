package watch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// leases is an API server with one Lease.
type leases struct {
	coordinationv1.LeaseInterface

	mutex   sync.Mutex
	current *coordination.Lease
	broken  bool
}

func (l *leases) Leases(string) coordinationv1.LeaseInterface { return l }

func (l *leases) Get(context.Context, string, metav1.GetOptions) (*coordination.Lease, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch {
	case l.broken:
		return nil, errors.New("the API server does not answer")
	case l.current == nil:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "")
	}
	return l.current.DeepCopy(), nil
}

func (l *leases) Create(ctx context.Context, lease *coordination.Lease, _ metav1.CreateOptions) (*coordination.Lease, error) {
	return l.Update(ctx, lease, metav1.UpdateOptions{})
}

func (l *leases) Update(_ context.Context, lease *coordination.Lease, _ metav1.UpdateOptions) (*coordination.Lease, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.broken {
		return nil, errors.New("the API server does not answer")
	}
	l.current = lease.DeepCopy()
	return lease, nil
}

func (l *leases) stopAnswering() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.broken = true
}

// A second watcher begins when the first has ended, which takes its time, and not
// before.
func TestLeadIsExclusive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, order := &leases{}, []string{}
		work := func(name string) func(context.Context) {
			return func(ctx context.Context) {
				order = append(order, name+" begins")
				<-ctx.Done()
				time.Sleep(20 * time.Second) // a request that is under way
				order = append(order, name+" ends")
			}
		}
		first, stopFirst := context.WithCancel(t.Context())
		second, stopSecond := context.WithCancel(t.Context())
		var both sync.WaitGroup
		lead := func(ctx context.Context, name string) {
			if err := Lead(ctx, api, "n", name, work(name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		both.Go(func() { lead(first, "first") })
		time.Sleep(time.Second)
		both.Go(func() { lead(second, "second") })
		time.Sleep(time.Minute)
		stopFirst()
		time.Sleep(time.Minute)
		stopSecond()
		both.Wait()
		if want := []string{"first begins", "first ends", "second begins", "second ends"}; !slices.Equal(order, want) {
			t.Errorf("%q", order)
		}
		if holder := *api.current.Spec.HolderIdentity; holder != "" {
			t.Errorf("the Lease is held by %s", holder)
		}
	})
}

// A watcher whose Lease cannot be renewed ends before another may begin.
func TestLeadEndsWithTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &leases{}
		time.AfterFunc(time.Minute, api.stopAnswering)
		begin := time.Now()
		err := Lead(t.Context(), api, "n", "first", func(ctx context.Context) { <-ctx.Done() })
		if took := time.Since(begin); !errors.Is(err, ErrLeaseLost) || took > time.Minute+leaseDuration {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// A watcher that waits for the Lease ends by its context.
func TestLeadWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &leases{broken: true}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Lead(ctx, api, "n", "first", func(context.Context) { t.Error("it works without the Lease") }); err != nil {
			t.Error(err)
		}
	})
}
