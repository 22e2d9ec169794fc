package watch

import (
	"context"
	"errors"
	"slices"
	"strconv"
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
	broken  bool // each request fails
	silent  bool // no request is answered
}

func (l *leases) Leases(string) coordinationv1.LeaseInterface { return l }

func (l *leases) Get(ctx context.Context, _ string, _ metav1.GetOptions) (*coordination.Lease, error) {
	if err := l.answers(ctx); err != nil {
		return nil, err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.current == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "")
	}
	return l.current.DeepCopy(), nil
}

func (l *leases) Create(ctx context.Context, lease *coordination.Lease, _ metav1.CreateOptions) (*coordination.Lease, error) {
	return l.Update(ctx, lease, metav1.UpdateOptions{})
}

func (l *leases) Update(ctx context.Context, lease *coordination.Lease, _ metav1.UpdateOptions) (*coordination.Lease, error) {
	if err := l.answers(ctx); err != nil {
		return nil, err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	version := 0
	if l.current != nil {
		if lease.ResourceVersion != l.current.ResourceVersion {
			return nil, apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "", errors.New("another version"))
		}
		version, _ = strconv.Atoi(l.current.ResourceVersion)
	}
	l.current = lease.DeepCopy()
	l.current.ResourceVersion = strconv.Itoa(version + 1)
	return l.current.DeepCopy(), nil
}

// answers returns the error of a request, which an API server without an answer delays
// until the client gives up.
func (l *leases) answers(ctx context.Context) error {
	l.mutex.Lock()
	broken, silent := l.broken, l.silent
	l.mutex.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	if broken {
		return errors.New("the API server refuses")
	}
	return nil
}

func (l *leases) become(broken, silent bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.broken, l.silent = broken, silent
}

func (l *leases) holder() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return *l.current.Spec.HolderIdentity
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
		if holder := api.holder(); holder != "" {
			t.Errorf("the Lease is held by %s", holder)
		}
	})
}

// A watcher whose Lease cannot be renewed ends its work before another may begin, also if
// the API server does not even refuse.
func TestLeadEndsWithTheLease(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"refusals": false, "no answers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := &leases{}
				time.AfterFunc(time.Minute, func() { api.become(!silent, silent) })
				begin, worked := time.Now(), time.Duration(0)
				err := Lead(t.Context(), api, "n", "first", func(ctx context.Context) {
					<-ctx.Done()
					worked = time.Since(begin)
				})
				// The last renewal was up to retryPeriod before.
				if longest := time.Minute - retryPeriod + leaseDuration; !errors.Is(err, ErrLeaseLost) || worked > longest {
					t.Errorf("%v after %s, want at most %s", err, worked, longest)
				}
			})
		})
	}
}

// The Lease is not given away while work that has lost it still ends: not even if the API
// server answers again.
func TestLeadKeepsALostLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &leases{}
		time.AfterFunc(time.Minute, func() { api.become(true, false) })
		err := Lead(t.Context(), api, "n", "first", func(ctx context.Context) {
			<-ctx.Done()
			api.become(false, false)
			time.Sleep(5 * time.Second) // a request that is under way
			if holder := api.holder(); holder != "first" {
				t.Errorf("while it works, the Lease is held by %q", holder)
			}
		})
		if holder := api.holder(); !errors.Is(err, ErrLeaseLost) || holder != "" {
			t.Errorf("%v, and the Lease is held by %q", err, holder)
		}
	})
}

// A Lease that another watcher has taken is not given back.
func TestLeadLeavesTheLeaseOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &leases{}
		err := Lead(t.Context(), api, "n", "first", func(ctx context.Context) {
			api.mutex.Lock()
			api.current.Spec.HolderIdentity, api.current.ResourceVersion = new("second"), "of the second"
			api.mutex.Unlock()
			<-ctx.Done()
		})
		if holder := api.holder(); !errors.Is(err, ErrLeaseLost) || holder != "second" {
			t.Errorf("%v, and the Lease is held by %q", err, holder)
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
