package admission

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// defaultMemoryLimit is presumed where the settings have no limit. It is the
	// chart's default.
	defaultMemoryLimit = 256 << 20

	// longestWait bounds the wait for a share of the budget. It leaves the API
	// server, which waits for 5 s in total, the time to try again: a client of
	// client-go follows the header Retry-After.
	longestWait = 2 * time.Second
)

// Budget bounds the memory that large requests take, all of them together.
//
// Clients are not authenticated, so a usual request must not wait for a large
// one, whoever sends that: a usual request needs no share of the budget. A client
// address reads one large request at a time, so that those of the API server wait
// for one turn of each other client at most.
//
// A request may hold a share for its body and one for its patch. It acquires them
// in this order, and the holder of a patch waits for nothing else, so that
// requests never wait for each other.
type Budget struct {
	bodies, patches         *semaphore.Weighted
	bodiesSize, patchesSize int64
	clients                 turns
}

// NewBudget returns a budget for a process with the memory limit, in bytes. 0 is
// the chart's default. A quarter of the limit is for bodies, an eighth for
// patches: some 50 MiB are the process without requests, and garbage that is not
// collected yet needs room too.
func NewBudget(memoryLimit int64) *Budget {
	if memoryLimit == 0 {
		memoryLimit = defaultMemoryLimit
	}
	b := &Budget{bodiesSize: memoryLimit / 4, patchesSize: memoryLimit / 8, clients: newTurns(1)}
	b.bodies, b.patches = semaphore.NewWeighted(b.bodiesSize), semaphore.NewWeighted(b.patchesSize)
	return b
}

// errBusy reports that no share of the budget became free in time.
var errBusy = errors.New("no share became free in time")

// hostOf returns the address of a client without its port.
func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote // of a test
	}
	return host
}

// body acquires the share for a body of that many bytes. The remote address is
// that of the client, with its port.
func (b *Budget) body(ctx context.Context, remote string, bytes int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	finish, err := b.clients.take(ctx, hostOf(remote))
	if err != nil {
		return nil, err
	}
	free, err := acquire(ctx, b.bodies, min(bytes, b.bodiesSize))
	if err != nil {
		finish()
		return nil, err
	}
	return func() { free(); finish() }, nil
}

// patch acquires the share for a patch of that many bytes, and its answer.
func (b *Budget) patch(ctx context.Context, bytes int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	return acquire(ctx, b.patches, min(bytes, b.patchesSize))
}

func acquire(ctx context.Context, from *semaphore.Weighted, bytes int64) (release func(), err error) {
	if from.Acquire(ctx, bytes) != nil {
		return nil, errBusy
	}
	return func() { from.Release(bytes) }, nil
}

// turns lets each client have a bounded number of turns at a time.
type turns struct {
	most    int
	lock    sync.Mutex
	clients map[string]*turn
}

type turn struct {
	taken chan struct{} // has an element for each turn that is taken
	users int           // that have a turn or wait for one
}

func newTurns(most int) turns { return turns{most: most, clients: make(map[string]*turn)} }

// take waits for a turn of the client. The error is errBusy.
func (t *turns) take(ctx context.Context, client string) (finish func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	mine := t.join(client)
	select {
	case mine.taken <- struct{}{}:
		return func() { <-mine.taken; t.leave(client) }, nil
	case <-ctx.Done():
		t.leave(client)
		return nil, errBusy
	}
}

func (t *turns) join(client string) *turn {
	t.lock.Lock()
	defer t.lock.Unlock()
	mine, ok := t.clients[client]
	if !ok {
		mine = &turn{taken: make(chan struct{}, t.most)}
		t.clients[client] = mine
	}
	mine.users++
	return mine
}

func (t *turns) leave(client string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.clients[client].users--
	if t.clients[client].users == 0 {
		delete(t.clients, client)
	}
}
